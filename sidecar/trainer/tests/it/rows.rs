//! The same interactions in different notations give the same snapshot.

use sidecar_contract::{Column, Digest, RunOutcome, TrainingConfig};

use crate::setup::{Setup, csv, grouped_visits};

/// Digest of the snapshot and number of merged rows for this content.
fn digest(name: &str, content: impl AsRef<[u8]>, change: impl Fn(&mut TrainingConfig)) -> (Digest, u64) {
    let mut setup = Setup::new(name, content);
    change(&mut setup.config);
    let (result, _) = setup.trained();
    let RunOutcome::Trained { digest, .. } = result.outcome else { panic!("{result:?}") };
    (digest, result.rows.merged)
}

#[test]
fn line_ends_byte_order_marks_quotes_columns_and_delimiters_do_not_matter() {
    let plain = csv(&grouped_visits());
    let (expected, _) = digest("a.csv", &plain, |_| ());
    let same = |name: &str, content: String, change: &dyn Fn(&mut TrainingConfig)| {
        assert_eq!(digest(name, &content, change).0, expected, "{}", &content[..40]);
    };
    let unchanged = |_: &mut TrainingConfig| ();
    same("a.csv", plain.replace('\n', "\r\n"), &unchanged);
    same("a.csv", format!("\u{feff}{plain}"), &unchanged);
    same("a.csv", plain.trim_end().to_owned(), &unchanged);
    same("a.csv", plain.replace('\n', "\n\n"), &unchanged);
    same(
        "a.csv",
        plain.replace(',', "\",\"").replace('\n', "\"\n\"").trim_end_matches('"').replacen("user", "\"user", 1),
        &unchanged,
    );
    same("a.tsv", plain.replace(',', "\t"), &unchanged);
    same("a.csv", plain.replace(',', ";"), &|config| config.csv.delimiter = Some(';'));
    same("a", plain.clone(), &unchanged);
    same("a.csv", plain.replacen("user_id,item_id\n", "", 1), &|config| {
        config.csv.header = false;
        config.columns.user = Column::Index(0);
        config.columns.item = Column::Index(1);
    });
    let other_columns = |line: &str| {
        let (user, item) = line.split_once(',').unwrap();
        format!("x,{item},\"a, b\",{user}\n")
    };
    let reordered: String = plain.lines().map(other_columns).collect();
    same("a.csv", reordered.replacen("item_id", "thing", 1), &|config| {
        config.columns.item = Column::Name("thing".to_owned());
    });
    let weighted: String = plain.lines().map(|line| format!("{line},1.0\n")).collect();
    same("a.csv", weighted.replacen("1.0", "rating", 1), &unchanged);
}

#[test]
fn duplicates_are_merged_before_training() {
    let visits = grouped_visits();
    let weighted = |weights: &[&str]| {
        let mut text = "user_id,item_id,rating\n".to_owned();
        for weight in weights {
            for (user, item) in &visits {
                text.push_str(&format!("{user},{item},{weight}\n"));
            }
        }
        text
    };
    let (once, merged) = digest("a.csv", weighted(&["3"]), |_| ());
    assert_eq!(merged, 0);
    let (thrice, merged) = digest("a.csv", weighted(&["1", "0.5", "1.5"]), |_| ());
    assert_eq!((thrice, merged), (once.clone(), 2 * visits.len() as u64));
    assert_ne!(digest("a.csv", weighted(&["2"]), |_| ()).0, once);
}

#[test]
fn seen_items_equal_the_rows() {
    let visits = grouped_visits();
    let (result, snapshot) = Setup::new("a.csv", csv(&visits)).trained();
    assert_eq!(result.rows.kept, visits.len() as u64);
    for (user, item) in &visits {
        let (user, item) = (snapshot.user_index(user).unwrap(), snapshot.item_index(item).unwrap());
        assert!(snapshot.seen(user).contains(&item));
        assert_eq!(snapshot.seen_weights(user), None);
    }
    assert_eq!(snapshot.metadata().interactions, visits.len() as u64);
    for item in 0..60_u32 {
        let id = snapshot.item_id(item).unwrap();
        let count = visits.iter().filter(|(_, other)| other == id).count();
        assert_eq!(snapshot.item_counts()[item as usize] as usize, count);
    }
    let counts: Vec<u32> = snapshot.popular().iter().map(|item| snapshot.item_counts()[*item as usize]).collect();
    assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
}
