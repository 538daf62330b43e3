//! Refreshes of catalogues while revisions change: every answer has one revision and a catalogue of
//! that revision, whole and as one table had it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use answering::{Ask, Filter, Query, RequestId};
use catalogue::Condition;
use recommender_sidecar::engine::{Engine, Refusal};
use recommender_trainer::{Options, refresh_catalogue};
use sidecar_contract::{CatalogueRef, ExitCode, RevisionRef, ServingLimits, StoreConfig};
use store_client::Store;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    catalogue_refresh,
    follower::follower,
    model::train_with_items,
    process::{DEADLINE, configure, file_store, last_good, put},
};

/// Prefixes of the item ids of both revisions.
const PREFIXES: [&str; 2] = ["old-", "new-"];
const ITEMS: u32 = 20;
/// Versions of the table; each is decided one second after the one before.
const TABLES: i64 = 24;
const CLIENTS: usize = 3;

/// The item that is out of stock in a version of the table.
fn out_of_stock(table: i64) -> i64 {
    table * 7 % i64::from(ITEMS)
}

/// The genre of an item in a version of the table.
fn genre(item: i64, table: i64) -> &'static str {
    if (item + table) % 2 == 0 { "comedy" } else { "drama" }
}

/// Replaces the table, which has the items of both revisions in another order each time.
fn write_table(directory: &Path, table: i64) {
    let row = |(prefix, item): (&str, i64)| {
        let (stock, genre) = (u8::from(item != out_of_stock(table)), genre(item, table));
        format!("{prefix}{item},{prefix}{item} of {table},{stock},{genre}\n")
    };
    let items = (0..i64::from(ITEMS)).map(|item| (item + table * 3) % i64::from(ITEMS));
    catalogue_refresh::write_table(directory, items.flat_map(|item| PREFIXES.map(|prefix| row((prefix, item)))));
}

/// What an answer had.
struct Answered {
    revision: String,
    version: Option<String>,
    /// Ids and titles.
    items: Vec<(String, Option<String>)>,
}

async fn ask(engine: &Engine, condition: Option<&'static str>) -> Result<Answered, Refusal> {
    let mut matching = catalogue::Filter::default();
    if let Some(genre) = condition {
        matching.push("genre".to_owned(), Condition::AnyOf(vec![genre.to_owned()]));
    }
    let filter = Filter { include_seen: true, matching, ..Filter::default() };
    let query = Query::Recommend { user: Some("user6".to_owned()), history: Vec::new() };
    let ask = Ask { n: ITEMS as usize, filter, ..Ask::new(RequestId::new(), query) };
    let answered = engine.answer(ask, |answer| {
        let answer = answer.unwrap();
        let part = &answer.parts[0];
        let items = answer.items.iter().map(|item| (item.id.to_string(), item.title.as_deref().map(str::to_owned)));
        Answered { revision: part.revision.clone(), version: part.catalogue.clone(), items: items.collect() }
    });
    answered.await
}

/// Asks until the request is not refused: clients without pauses may overload a small machine.
async fn answered(engine: &Engine, condition: Option<&'static str>) -> Answered {
    loop {
        match ask(engine, condition).await {
            Ok(answered) => return answered,
            Err(Refusal::Overloaded) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(refusal) => panic!("{refusal}"),
        }
    }
}

/// Checks that an answer is of one version of the table; returns it with the revision.
fn check(answered: &Answered, revisions: &[RevisionRef], condition: Option<&str>) -> (usize, i64) {
    let Answered { revision, version, items } = answered;
    let index = revisions.iter().position(|known| known.digest.revision() == revision).unwrap();
    let version = version.as_deref().expect("no revision serves without a catalogue");
    let table: i64 = version.split_once('-').unwrap().0.parse().unwrap();
    let passes = |item: &i64| condition.is_none_or(|condition| genre(*item, table) == condition);
    let expected: BTreeSet<String> = (0..i64::from(ITEMS))
        .filter(|item| *item != out_of_stock(table) && passes(item))
        .map(|item| format!("{}{item}", PREFIXES[index]))
        .collect();
    let found: BTreeSet<String> = items.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(found, expected, "{revision} {version}");
    for (id, title) in items {
        assert_eq!(title.as_deref(), Some(format!("{id} of {table}").as_str()), "{revision} {version}");
    }
    (index, table)
}

/// Asks until `stop`, and checks every answer.
async fn client(engine: Arc<Engine>, revisions: Vec<RevisionRef>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        for condition in [None, Some("comedy"), Some("drama"), Some("drama")] {
            check(&answered(&engine, condition).await, &revisions, condition);
            // An answer that is computed at once does not wait for anything, so without this the
            // clients would keep the threads of the runtime from the follower and the timers.
            tokio::task::yield_now().await;
        }
    }
}

/// A store and the directory of the follower.
struct Setup {
    directory: PathBuf,
    stored: StoreConfig,
    revisions: Vec<RevisionRef>,
}

impl Setup {
    /// A refresh of a revision, as its Job runs it.
    async fn refresh(&self, revision: &RevisionRef, decided_at: i64) -> CatalogueRef {
        let config = catalogue_refresh::config(&self.directory, revision, &self.stored, decided_at);
        let options = Options { work_dir: Some(self.directory.clone()), ..Options::default() };
        let store = Store::open(&self.stored, None).unwrap();
        let refreshed = refresh_catalogue(&config, &store, &options).await;
        assert_eq!(refreshed.exit, ExitCode::Done, "{:?}", refreshed.termination_message);
        refreshed.result.unwrap().catalogue.unwrap()
    }

    /// Catalogues of both revisions, made at the same time from this version of the table.
    async fn refresh_both(&self, table: i64) -> [CatalogueRef; 2] {
        write_table(&self.directory, table);
        let [old, new] = [&self.revisions[0], &self.revisions[1]];
        let (old, new) = tokio::join!(self.refresh(old, table), self.refresh(new, table));
        [old, new]
    }

    /// Writes a config in which this revision is desired, and the other one is the last good.
    fn configure(&self, desired: usize, catalogues: &[CatalogueRef; 2]) {
        let with_catalogue =
            |index: usize| RevisionRef { catalogue: Some(catalogues[index].clone()), ..self.revisions[index].clone() };
        let revisions = [with_catalogue(desired), last_good(&with_catalogue(1 - desired))];
        configure(&self.directory, &self.stored, &revisions, ServingLimits::default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_catalogue_belongs_to_its_revision_while_both_change() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().to_owned();
    let stored = file_store(&at);
    let mut revisions = Vec::new();
    for prefix in PREFIXES {
        revisions.push(put(&stored, &train_with_items(&at, 3, prefix).await).await);
    }
    let setup = Setup { directory: at.clone(), stored, revisions: revisions.clone() };
    let (engine, report, follower) = follower(&at);
    setup.configure(0, &setup.refresh_both(0).await);
    let (end, ended) = watch::channel(false);
    let following = tokio::spawn(follower.run(ended));
    let serves = async |desired: usize, catalogues: &[CatalogueRef; 2]| {
        let is_served = || {
            report.get().loaded.is_some_and(|loaded| {
                loaded.digest == revisions[desired].digest
                    && loaded.catalogue.as_ref() == Some(&catalogues[desired].version)
            })
        };
        let wait = async {
            while !is_served() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("the config is applied");
    };
    tokio::time::timeout(DEADLINE, async {
        while report.get().loaded.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("the first revision is loaded");

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(Arc::clone(&engine), revisions.clone(), Arc::clone(&stop)));
    }
    let mut awaited = BTreeSet::new();
    for table in 1..TABLES {
        // A rollout begins with every third table, and may still run when the next catalogues come.
        let desired = usize::from(table / 3 % 2 == 1);
        let catalogues = setup.refresh_both(table).await;
        setup.configure(desired, &catalogues);
        if table % 3 == 2 {
            serves(desired, &catalogues).await;
            let answered = answered(&engine, None).await;
            awaited.insert(check(&answered, &revisions, None));
            assert!(awaited.contains(&(desired, table)), "{awaited:?}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    clients.join_all().await;
    assert_eq!(awaited.iter().map(|(desired, _)| *desired).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1]));
    end.send(true).unwrap();
    following.await.unwrap();
}
