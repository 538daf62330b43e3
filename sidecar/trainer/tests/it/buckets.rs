//! Sources and stores in external buckets, and sources on web servers.

use std::path::Path;

use model_snapshot::Snapshot;
use recommender_trainer::{Finished, Secrets, progress::Silent};
use sidecar_contract::{Column, Csv, Digest, ExitCode, Items, RunOutcome, RunResult, Source, StoreConfig};
use store_client::{BucketSecret, Creation, Store, StoreCredentials, StoreError};

use crate::{
    servers::{self, Server, put, s3_secret, secret},
    setup::{Setup, csv, grouped_visits, runtime},
};

/// Keys and contents.
type Objects<'a> = [(&'a str, Vec<u8>)];

fn digest_of(setup: &Setup) -> Digest {
    let (result, _) = setup.trained();
    let RunOutcome::Trained { digest, .. } = result.outcome else { panic!("{result:?}") };
    digest
}

fn of(url: &str, secret: BucketSecret) -> Setup {
    let mut setup = Setup::new("unused", "");
    setup.config.source = Source { url: url.to_owned(), described_as: String::new() };
    setup.options.secrets = Secrets { source: Some(secret), items: None };
    setup
}

fn gzip(content: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The visits as objects below `visits/`, with Spark's auxiliary files.
fn objects() -> Vec<(&'static str, Vec<u8>)> {
    let visits = grouped_visits();
    let (first, rest) = visits.split_at(visits.len() / 2);
    vec![
        ("visits/_SUCCESS", Vec::new()),
        ("visits/day=1/part-0000.csv", csv(first).into_bytes()),
        ("visits/day=2/part-0000.csv.gz", gzip(&csv(rest))),
        ("visits/day=2/.part-0000.csv.gz.crc", b"crc".to_vec()),
        ("visits-of-others/part-0000.csv", b"user_id,item_id\nx,y\n".to_vec()),
    ]
}

fn check_message(finished: &Finished, exit: ExitCode, words: &[&str]) {
    assert_eq!(finished.exit, exit, "{}", finished.termination_message.message);
    for word in words {
        assert!(
            finished.termination_message.message.contains(word),
            "{word:?} is not in: {}",
            finished.termination_message.message
        );
    }
}

/// Tests trained, unchanged and changed data, and each access error.
fn bucket_works(url: &str, secret: &BucketSecret, keys: &str, put: &dyn Fn(&Objects)) {
    let expected = digest_of(&Setup::new("a.csv", csv(&grouped_visits())));
    put(&objects());
    let all = of(&format!("{url}/visits/"), secret.clone());
    let (result, _) = all.trained();
    assert!(matches!(&result.outcome, RunOutcome::Trained { digest, .. } if *digest == expected), "{result:?}");

    let mut again = of(&format!("{url}/visits/"), secret.clone());
    again.config.known_data_version = Some(result.data_version.clone());
    assert_eq!(again.run().result.unwrap().outcome, RunOutcome::Unchanged);
    put(&[("visits/day=3/part-0000.csv", b"user_id,item_id\nnew_user,item00\n".to_vec())]);
    again = of(&format!("{url}/visits/"), secret.clone());
    again.config.known_data_version = Some(result.data_version.clone());
    let (changed, _) = again.trained();
    assert_ne!(changed.data_version, result.data_version);

    let spark = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/spark/parquet-int96");
    let part = std::fs::read_dir(&spark).unwrap().map(|entry| entry.unwrap().path());
    let part = part.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("part-")).unwrap();
    put(&[("one.parquet", std::fs::read(&part).unwrap())]);
    let mut local = Setup::new("unused", "");
    local.config.source.url = format!("file://{}", part.display());
    assert_eq!(digest_of(&of(&format!("{url}/one.parquet"), secret.clone())), digest_of(&local));

    // Characters that a URL would encode are read as they are listed.
    put(&[("odd/~50% [a]#1.csv", csv(&grouped_visits()).into_bytes())]);
    assert_eq!(digest_of(&of(&format!("{url}/odd/"), secret.clone())), expected);

    let missing = of(&format!("{url}/nothing.csv"), secret.clone()).run();
    check_message(&missing, ExitCode::NoInput, &["nothing.csv does not exist", "Check spec.data.source"]);
    let missing = of(&format!("{url}/nothing/"), secret.clone()).run();
    check_message(&missing, ExitCode::NoInput, &["there is no data below"]);
    let no_slash = of(&format!("{url}/visits"), secret.clone()).run();
    check_message(&no_slash, ExitCode::NoInput, &["end spec.data.source.url with a slash"]);
    let no_keys = of(&format!("{url}/visits/"), servers::secret("shop", &[("password", "p")])).run();
    let words = ["spec.data.source.secretRef: Secret shop has none of these keys, only password", keys];
    check_message(&no_keys, ExitCode::NoInput, &words);
}

/// A run commits to a user's bucket; the stored objects can be read, listed and deleted.
fn store_works(url: &str, secret: &BucketSecret) {
    let directory = tempfile::tempdir().unwrap();
    let credentials = StoreCredentials::Secret(secret.clone());
    let mut setup = Setup::new("a.csv", csv(&grouped_visits()));
    setup.config.store = StoreConfig {
        url: format!("{url}/below/a path"),
        endpoint: None,
        region: "us-east-1".into(),
        prefix: "id/shop/movies/".into(),
    };
    let store = Store::open(&setup.config.store, Some(&credentials)).unwrap();
    let mut neighbour = setup.config.store.clone();
    neighbour.prefix = "id/shop/movies-2/".into();
    let neighbour = Store::open(&neighbour, Some(&credentials)).unwrap();
    runtime().block_on(async {
        let run = || recommender_trainer::run(&setup.config, &store, &Silent, &setup.options);
        let first = run().await;
        check_message(&first, ExitCode::Done, &[]);
        let result = first.result.unwrap();
        let RunOutcome::Trained { digest, snapshot_bytes, .. } = &result.outcome else { panic!("{result:?}") };
        assert_eq!(store.list_runs().await.unwrap(), std::slice::from_ref(&result.run));
        assert_eq!(store.get_run(&result.run).await.unwrap(), result);
        let listed = store.list_snapshots().await.unwrap();
        assert_eq!(listed.iter().map(|s| (&s.digest, s.bytes)).collect::<Vec<_>>(), [(digest, *snapshot_bytes)]);
        let file = directory.path().join("snapshot");
        assert_eq!(store.fetch_snapshot_to(digest, &file, *snapshot_bytes).await.unwrap(), *snapshot_bytes);
        Snapshot::read(&file).unwrap().verify_digest(digest).unwrap();
        // Create-only: a second commit returns that the result already exists.
        assert_eq!(store.create_run(&result).await.unwrap(), Creation::Created);
        let other = RunResult { finished_at: 1, ..result.clone() };
        assert_eq!(store.create_run(&other).await.unwrap(), Creation::AlreadyExists);
        assert_eq!(run().await.result.unwrap(), result);

        assert_eq!(neighbour.list_runs().await.unwrap(), []);
        neighbour.create_run(&result).await.unwrap();
        assert_eq!(store.delete_all().await.unwrap(), 2);
        assert_eq!(store.list_runs().await.unwrap(), []);
        assert_eq!(neighbour.list_runs().await.unwrap(), std::slice::from_ref(&result.run));
        assert!(matches!(store.get_run(&result.run).await, Err(StoreError::NotFound { .. })));
    });
}

#[test]
fn store_in_s3() {
    let server = servers::s3("models");
    store_works("s3://models", &server.s3_secret());
    let open = |url: &str, secret: BucketSecret| {
        let config = StoreConfig {
            url: url.into(),
            endpoint: None,
            region: "us-east-1".into(),
            prefix: "id/shop/movies/".into(),
        };
        Store::open(&config, Some(&StoreCredentials::Secret(secret)))
    };
    let list = |store: Store| runtime().block_on(async { store.list_runs().await.unwrap_err() });
    let wrong = list(open("s3://models", s3_secret(&server.url(), "wrong")).unwrap());
    assert!(matches!(wrong, StoreError::Denied { .. }), "{wrong:?}");
    let elsewhere = list(open("s3://elsewhere", server.s3_secret()).unwrap());
    assert!(matches!(elsewhere, StoreError::NotFound { .. }), "{elsewhere:?}");
    let half = open("s3://models", secret("shop/models", &[("AWS_ACCESS_KEY_ID", "a")])).unwrap_err().to_string();
    assert!(half.contains("Secret shop/models has only AWS_ACCESS_KEY_ID"), "{half}");
}

#[test]
fn store_in_azure() {
    let Some(server) = servers::azure() else { return };
    make_container(&server);
    store_works("az://shop", &server.azure_secret());
}

#[test]
fn s3() {
    let server = servers::s3("shop");
    let secret = server.s3_secret();
    let keys = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    bucket_works("s3://shop", &secret, keys, &|objects| put("s3://shop", &secret, objects));
    let wrong = of("s3://shop/visits/", s3_secret(&server.url(), "wrong")).run();
    check_message(&wrong, ExitCode::NoInput, &["was denied", "AWS_SECRET_ACCESS_KEY in the Secret shop-s3"]);
    let no_bucket = of("s3://elsewhere/visits/", server.s3_secret()).run();
    check_message(&no_bucket, ExitCode::NoInput, &["no such bucket"]);
    let secret = server.s3_secret();
    drop(server);
    let down = of("s3://shop/visits/", secret).run();
    check_message(&down, ExitCode::Retry, &["cannot read s3://shop/visits/"]);
    assert_eq!(down.result, None);
}

#[test]
fn each_source_has_its_own_secret() {
    let (visits, titles) = (servers::s3("shop"), servers::s3("catalogue"));
    put("s3://shop", &visits.s3_secret(), &[("visits.csv", csv(&grouped_visits()).into_bytes())]);
    put("s3://catalogue", &titles.s3_secret(), &[("items.csv", b"id,title\nitem00,First\n".to_vec())]);
    let mut setup = of("s3://shop/visits.csv", visits.s3_secret());
    setup.config.items = Some(Items {
        source: Source { url: "s3://catalogue/items.csv".to_owned(), described_as: String::new() },
        format: None,
        csv: Csv::default(),
        id: Column::Name("id".to_owned()),
        title: Some(Column::Name("title".to_owned())),
        available: None,
        attributes: Vec::new(),
    });
    setup.options.secrets.items = Some(titles.s3_secret());
    assert_eq!(setup.in_catalogue(&["item00"]), [(Some("First".to_owned()), true)]);
}

#[test]
fn gcs() {
    let server = servers::gcs("shop");
    let put = |objects: &Objects| server.put_json("shop", objects);
    bucket_works("gs://shop", &server.gcs_secret(), "GOOGLE_SERVICE_ACCOUNT_KEY", &put);
}

#[test]
fn azure() {
    let Some(server) = servers::azure() else { return };
    make_container(&server);
    let secret = server.azure_secret();
    let keys = "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY";
    bucket_works("az://shop", &secret, keys, &|objects| put("az://shop", &secret, objects));
}

/// Creates a container, which the object store client does not support.
fn make_container(server: &Server) {
    let script = "
import base64, datetime, hashlib, hmac, sys, urllib.request
root, key = sys.argv[1:]
date = datetime.datetime.now(datetime.timezone.utc).strftime('%a, %d %b %Y %H:%M:%S GMT')
text = 'PUT' + 12 * '\\n' + f'x-ms-date:{date}\\nx-ms-version:2021-08-06\\n/devstoreaccount1/devstoreaccount1/shop\\nrestype:container'
sign = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
headers = {'x-ms-date': date, 'x-ms-version': '2021-08-06', 'Authorization': 'SharedKey devstoreaccount1:' + sign}
urllib.request.urlopen(urllib.request.Request(root + '/devstoreaccount1/shop?restype=container', method='PUT', headers=headers))
";
    let secret = server.azure_secret();
    let key = secret.get("AZURE_STORAGE_ACCOUNT_KEY").unwrap();
    let output = std::process::Command::new("python3").args(["-c", script, &server.url(), key]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn web_server() {
    let root = tempfile::tempdir().unwrap();
    let table = csv(&grouped_visits());
    std::fs::write(root.path().join("visits of all.csv.gz"), gzip(&table)).unwrap();
    std::fs::write(root.path().join("visits.parquet"), "PAR1".repeat(100)).unwrap();
    let server = servers::http(root.path());
    let of = |path: &str| {
        let mut setup = of(&format!("{}/{path}", server.url()), secret("unused", &[]));
        setup.options.secrets = Secrets::default();
        setup
    };
    let (result, _) = of("visits%20of%20all.csv.gz").trained();
    let expected = digest_of(&Setup::new("a.csv", table));
    assert!(matches!(&result.outcome, RunOutcome::Trained { digest, .. } if *digest == expected), "{result:?}");
    let mut again = of("visits%20of%20all.csv.gz");
    again.config.known_data_version = Some(result.data_version);
    assert_eq!(again.run().result.unwrap().outcome, RunOutcome::Unchanged);
    std::fs::create_dir(root.path().join("~shop")).unwrap();
    std::fs::copy(root.path().join("visits of all.csv.gz"), root.path().join("~shop/50%[a]#1.csv.gz")).unwrap();
    assert_eq!(digest_of(&of("~shop/50%25%5Ba%5D%231.csv.gz")), expected);
    check_message(&of("nothing.csv").run(), ExitCode::NoInput, &["nothing.csv does not exist"]);
    check_message(&of("visits.parquet").run(), ExitCode::BadData, &["does not support range requests", "csv or jsonl"]);
    check_message(&of("directory/").run(), ExitCode::Usage, &["has no file name"]);
    check_message(&of("visits.csv?key=1").run(), ExitCode::Usage, &["has a query"]);
    drop(server);
}
