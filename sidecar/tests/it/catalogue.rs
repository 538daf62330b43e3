//! The catalogue over HTTP: filters, candidates, pages, and the search of items on the admin port.

use std::{collections::HashSet, path::Path, time::Duration};

use answering::{DEFAULT_VARIANT, Local};
use catalogue::{CatalogueWriter, ColumnKind};
use recommender_sidecar::{
    item_search::search,
    limits::{FOUND_ITEMS_MAX, ITEM_SEARCH_TIME_MAX},
    loading::{self, Verification},
};
use serde_json::{Value, json};
use sidecar_contract::ServingMode;

use crate::{
    model::train,
    process::{request, start_with, wait_for},
};

/// Writes a catalogue of a model: items with an even number are comedies, others dramas, those
/// below 4 are not available, and the price is the number.
pub fn write_catalogue(model: &Path, to: &Path, version: &str) {
    let model = loading::open(model, Verification::Any).unwrap();
    let snapshot = model.snapshot();
    let mut writer = CatalogueWriter::new(version, model.digest(), snapshot.items()).unwrap();
    let genre = writer.column("genre", ColumnKind::Category).unwrap();
    let price = writer.column("price", ColumnKind::Number).unwrap();
    for row in 0..u32::try_from(snapshot.items()).unwrap() {
        let number: u32 = snapshot.item_id(row).unwrap().trim_start_matches("item").parse().unwrap();
        writer.set_title(row, &format!("Title {number} of {version}")).unwrap();
        writer.set_available(row, number >= 4);
        writer.add_value(genre, row, if number.is_multiple_of(2) { "comedy" } else { "drama" }).unwrap();
        writer.set_number(price, row, number.into()).unwrap();
    }
    writer.write(std::fs::File::create(to).unwrap()).unwrap();
}

fn ids(answer: &Value) -> Vec<u32> {
    let number = |item: &Value| item["id"].as_str().unwrap().trim_start_matches("item").parse().unwrap();
    answer["items"].as_array().unwrap().iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_file_gives_filters_candidates_pages_and_a_search() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = train(at, 4).await;
    let catalogue = at.join("catalogue");
    write_catalogue(&model, &catalogue, "v1");
    let process = start_with(at, &["--model", model.to_str().unwrap(), "--catalogue", catalogue.to_str().unwrap()]);
    wait_for("readiness", || process.is_ready());
    let post = |path: &str, body: Value| {
        let (status, body) = request(process.port, "POST", path, &body.to_string()).unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let recommend = |body: Value| {
        let (status, answer) = post("/recommend", body);
        assert_eq!(status, 200, "{answer}");
        answer
    };

    let (_, document) = request(process.port, "GET", "/model", "").unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let columns = json!([{"name": "genre", "kind": "category"}, {"name": "price", "kind": "number"}]);
    assert_eq!(document["catalogue"], json!({"version": "v1", "availableItems": 16, "columns": columns}));

    let filter = json!({"genre": ["comedy"], "price": {"max": 11}});
    let answer = recommend(json!({"user": "user1", "n": 10, "includeSeen": true, "where": filter}));
    let found: HashSet<u32> = ids(&answer).into_iter().collect();
    assert_eq!(found, HashSet::from([4, 6, 8, 10]));
    assert_eq!((&answer["matches"], &answer["model"]["catalogue"]), (&json!(4), &json!("v1")));
    assert_eq!(answer["items"][0]["title"], json!(format!("Title {} of v1", ids(&answer)[0])));
    let popular = recommend(json!({"user": "nobody", "where": filter}));
    assert_eq!(ids(&popular).len(), 4);
    let (_, similar) = post("/similar", json!({"item": "item5", "where": {"genre": {"not": ["comedy"]}}}));
    assert!(ids(&similar).iter().all(|number| number % 2 == 1), "{similar}");
    for (bad, expected) in [
        (json!({"colour": ["red"]}), r#"where: the catalogue has no column "colour"; columns are "genre", "price""#),
        (json!({"genre": ["sf"]}), r#"where.genre: no item has the value "sf"; values are "comedy", "drama""#),
    ] {
        let (status, error) = post("/recommend", json!({"user": "user1", "where": bad}));
        assert_eq!((status, &error["detail"]), (400, &json!(expected)));
    }

    let candidates = ["item7", "item1", "item99", "item4", "item6"];
    let answer = recommend(json!({"user": "user0", "candidates": candidates, "where": {"price": {"min": 5}},
                                  "includeSeen": true}));
    assert_eq!(ids(&answer).into_iter().collect::<HashSet<_>>(), HashSet::from([6, 7]));
    let left_out = json!([{"id": "item1", "reason": "unavailable"}, {"id": "item99", "reason": "unknown"},
                          {"id": "item4", "reason": "filtered"}]);
    assert_eq!(answer["leftOut"], left_out);

    let whole = ids(&recommend(json!({"user": "user1", "n": 20, "includeSeen": true})));
    let (mut pages, mut cursor) = (Vec::new(), json!("*"));
    while !cursor.is_null() {
        let page = recommend(json!({"user": "user1", "n": 3, "includeSeen": true, "cursor": cursor}));
        pages.extend(ids(&page));
        cursor = page["next"].clone();
    }
    assert_eq!(pages, whole);
    assert_eq!(pages.len(), 16);

    let get = |query: &str| {
        let (status, body) = request(process.admin_port, "GET", &format!("/items{query}"), "").unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap_or_default())
    };
    let (status, found) = get("?q=item1");
    assert_eq!((status, found["complete"].as_bool(), found["items"].as_array().unwrap().len()), (200, Some(true), 11));
    assert_eq!(found["items"][0], json!({"id": "item1", "title": "Title 1 of v1", "available": false}));
    assert_eq!(get("?q=TITLE+12%20of").1["items"][0]["id"], json!("item12"));
    assert_eq!(get("?q=").0, 400);
    assert_eq!(get("").0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_filter_like_json() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = train(at, 4).await;
    write_catalogue(&model, &at.join("catalogue"), "v1");
    let model = loading::open(&model, Verification::Any).unwrap();
    let local = Local::new(model, DEFAULT_VARIANT, ServingMode::Personalized);
    let catalogue = loading::open_catalogue(&at.join("catalogue")).unwrap();
    let local = local.with_catalogue(Some(catalogue)).unwrap();
    let parse = |body: &str| {
        let limits = sidecar_contract::ServingLimits::default();
        recommender_sidecar::api::form::parse(body.as_bytes(), answering::RequestId::new(), &limits)
    };
    let list = |body: &str| -> Vec<String> {
        local.answer(&parse(body).unwrap()).unwrap().items.into_iter().map(|item| item.id.into_owned()).collect()
    };
    let found: HashSet<String> = list("user_id=nobody&where.genre.not=drama&where.price.max=9").into_iter().collect();
    assert_eq!(found, ["item4", "item6", "item8"].map(str::to_owned).into());
    let found: HashSet<String> = list("user_id=nobody&candidates=item1,item9,item8").into_iter().collect();
    assert_eq!(found, ["item8", "item9"].map(str::to_owned).into());
    for (body, expected) in [
        ("user_id=1&where.genre=a&where.genre=b", "where.genre: present twice"),
        ("user_id=1&cursor=*&candidates=a", "cursor: not together with candidates"),
    ] {
        let error = parse(body).unwrap_err().detail;
        assert!(error.starts_with(expected), "{error}");
    }

    // The clock ends a search, and so does the number of items that it found.
    let all = search(&local, "item", || Duration::ZERO);
    assert!(all.complete && all.items.len() == 20 && all.items.len() <= FOUND_ITEMS_MAX);
    let late = search(&local, "item3", || ITEM_SEARCH_TIME_MAX);
    assert_eq!((late.items.len(), late.complete), (1, false), "the item with this id is found without a search");
}
