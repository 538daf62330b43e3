//! The lists of all users in one file: equal to the answers over HTTP, whole or absent.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use answering::Answerer;
use parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::RowAccessor as _,
};
use recommender_sidecar::{api::Api, engine::Engine, loading, metrics::Metrics, serving::Serving};
use recommender_trainer::{Options, local_config, progress::Silent, train_to_file};
use serde_json::{Value, json};
use sidecar_contract::{Algorithm, AlsConfig, ExitCode, ServingLimits};

use crate::{
    catalogue::write_catalogue,
    http::{JSON, send},
};

const USERS: u32 = 1000;
const N: usize = 7;

/// User, rank, item, score, revision, catalogue.
type Row = (String, i64, String, f32, String, String);

/// A model of [`USERS`] users. Their ids need quotes in CSV.
async fn model(directory: &Path) -> PathBuf {
    let mut visits = "user_id,item_id\n".to_owned();
    for user in 0..USERS {
        for item in (0..90).filter(|item| (item * 7 + user) % 11 < 2) {
            writeln!(visits, "\"user \"\"{user}\"\", x\",item{item}").unwrap();
        }
    }
    let data = directory.join("visits.csv");
    fs::write(&data, visits).unwrap();
    let mut config = local_config(&data);
    config.algorithm = Algorithm::Als(AlsConfig { factors: 4, iterations: 3, ..AlsConfig::WIRE_DEFAULT });
    let output = directory.join("model.safetensors");
    train_to_file(&config, &output, &Silent, &Options::default()).await.unwrap();
    output
}

/// Runs the command after a line of a shell.
fn recommend_all(before: &str, model: &Path, output: &Path) -> Output {
    let script = format!("{before}; exec \"$@\"");
    Command::new("sh")
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_recmesh-sidecar"), "--log", "warn", "recommend", "--all"])
        .args(["-n", &N.to_string(), "--model"])
        .arg(model)
        .arg("--output")
        .arg(output)
        .output()
        .unwrap()
}

fn json_row(row: &Value) -> Row {
    let text = |field: &str| row[field].as_str().unwrap().to_owned();
    (text("user"), row["rank"].as_i64().unwrap(), text("item"), score(row), text("revision"), text("catalogue"))
}

/// The score as it was before it was text.
fn score(row: &Value) -> f32 {
    row["score"].to_string().parse().unwrap()
}

fn read(path: &Path) -> Vec<Row> {
    match path.extension().unwrap().to_str().unwrap() {
        "jsonl" => {
            let text = fs::read_to_string(path).unwrap();
            text.lines().map(|line| json_row(&serde_json::from_str(line).unwrap())).collect()
        }
        "csv" => {
            let mut reader = csv::Reader::from_path(path).unwrap();
            assert_eq!(reader.headers().unwrap(), vec!["user", "rank", "item", "score", "revision", "catalogue"]);
            reader.deserialize().map(Result::unwrap).collect()
        }
        _ => {
            let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
            let rows = reader.get_row_iter(None).unwrap().map(|row| {
                let row = row.unwrap();
                let text = |column| row.get_string(column).unwrap().clone();
                (text(0), i64::from(row.get_int(1).unwrap()), text(2), row.get_float(3).unwrap(), text(4), text(5))
            });
            rows.collect()
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_are_the_answers_over_http() {
    let directory = tempfile::tempdir().unwrap();
    let model = model(directory.path()).await;
    write_catalogue(&model, &loading::catalogue_beside(&model), "v7");
    let engine = Arc::new(Engine::default());
    let local = loading::open_with_catalogue(&model, None).unwrap();
    engine.publish(Serving::of(Answerer::Local(Arc::new(local)), ServingLimits::default()));
    let api = Api::new(Arc::clone(&engine), Arc::new(Metrics::new().unwrap()));
    let mut expected = BTreeMap::new();
    for user in 0..USERS {
        let user = format!("user \"{user}\", x");
        let body = json!({"user": user, "n": N}).to_string();
        let (status, _, answer) = send(&api, "POST", "/recommend", JSON, body.as_bytes()).await;
        assert_eq!(status, 200, "{answer}");
        expected.insert(user, answer);
    }
    let mut contents = Vec::new();
    for name in ["lists.jsonl", "lists.csv", "lists.parquet"] {
        let path = directory.path().join(name);
        let output = recommend_all("true", &model, &path);
        assert!(output.status.success(), "{output:?}");
        contents.push(read(&path));
    }
    let [jsonl, csv, parquet] = contents.try_into().unwrap();
    assert_eq!(jsonl.len(), USERS as usize * N);
    assert!(jsonl == csv && jsonl == parquet);
    for (index, (user, rank, item, found_score, revision, catalogue)) in jsonl.into_iter().enumerate() {
        assert_eq!(rank, i64::try_from(index % N).unwrap() + 1);
        let answer = &expected[&user];
        let found = &answer["items"][index % N];
        assert_eq!(json!(item), found["id"], "{user} {rank}");
        assert_eq!(found_score.to_bits(), score(found).to_bits(), "{user} {rank}");
        assert_eq!((json!(revision), catalogue.as_str()), (answer["model"]["revision"].clone(), "v7"));
        assert_eq!(answer["model"]["catalogue"], "v7");
        assert!(!["item0", "item1", "item2", "item3"].contains(&item.as_str()), "{item} is not available");
    }
    assert_eq!(
        names(directory.path()),
        ["lists.csv", "lists.jsonl", "lists.parquet", "model.catalogue", "model.safetensors", "visits.csv"]
    );
}

/// The limit of a file's size stands for a full disk. A process that does not ignore the signal of
/// this limit is killed by it, in the middle of the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_or_killed_run_leaves_the_file_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let model = model(directory.path()).await;
    for name in ["lists.jsonl", "lists.csv", "lists.parquet"] {
        let path = directory.path().join(name);
        fs::write(&path, "before").unwrap();
        let names_before = names(directory.path());
        let full = recommend_all("trap '' XFSZ; ulimit -f 8", &model, &path);
        let stderr = String::from_utf8(full.stderr).unwrap();
        assert_eq!(full.status.code(), Some(ExitCode::Usage.code().into()), "{stderr}");
        assert!(stderr.contains(&format!("cannot write {}", path.display())), "{stderr}");
        assert!(stderr.contains("File too large"), "{stderr}");
        assert_eq!(names(directory.path()), names_before, "the temporary file is deleted");
        let killed = recommend_all("ulimit -f 8", &model, &path);
        assert_eq!(killed.status.code(), None, "{killed:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    }
}

#[test]
fn another_extension_and_a_missing_output_are_errors() {
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_recmesh-sidecar")).arg("recommend").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = run(&["--all", "--output", "lists.xlsx"]);
    assert_ne!(code, Some(0));
    assert!(
        stderr.contains("--output lists.xlsx: the extension is the format; expected .parquet, .jsonl or .csv"),
        "{stderr}"
    );
    let (code, stderr) = run(&["--all"]);
    assert!(code != Some(0) && stderr.contains("--output <FILE>"), "{stderr}");
}
