//! Generated files are read as Python's csv, pandas and pyarrow read them, up to the rules of
//! docs/data.md.

use std::{collections::BTreeMap, ffi::OsStr, path::Path};

use serde::Deserialize;
use sidecar_contract::Format;

use crate::{python::python, setup::Setup};

/// Number of generated sources; their seeds are 0, 1, ….
const CASES: usize = 84;

/// A generated source, and what Python reads from it.
#[derive(Deserialize)]
struct Case {
    format: Format,
    delimiter: Option<char>,
    writer: String,
    /// User, item and weight, in the order of their bytes.
    pairs: Vec<(String, String, f32)>,
    kept: u64,
    dropped: BTreeMap<String, u64>,
}

#[test]
fn generated_files_are_read_as_python_reads_them() {
    let cases = tempfile::tempdir().unwrap();
    python("readers.py", &[OsStr::new(&CASES.to_string()), cases.path().as_os_str()]);
    for number in 0..CASES {
        check(&cases.path().join(format!("{number:03}")));
    }
}

fn check(directory: &Path) {
    let case: Case = serde_json::from_slice(&std::fs::read(directory.join("case.json")).unwrap()).unwrap();
    let mut setup = Setup::new("unused", "");
    setup.config.source.url = format!("file://{}/", directory.join("data").display());
    setup.config.csv.delimiter = case.delimiter;
    let (result, snapshot) = setup.trained();
    let of = format!("{}: {:?} by {}", directory.display(), case.format, case.writer);
    assert_eq!((result.rows.kept, &result.rows.dropped), (case.kept, &case.dropped), "{of}");
    let mut pairs = Vec::new();
    for user in 0..snapshot.metadata().users {
        let user = u32::try_from(user).unwrap();
        let weights = snapshot.seen_weights(user);
        for (at, item) in snapshot.seen(user).iter().enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[at]);
            let [user, item] = [snapshot.user_id(user), snapshot.item_id(*item)].map(|id| id.unwrap().to_owned());
            pairs.push((user, item, weight));
        }
    }
    let differing: Vec<_> = pairs.iter().filter(|pair| !case.pairs.contains(pair)).collect();
    assert_eq!((differing, pairs.len()), (Vec::new(), case.pairs.len()), "{of}");
}
