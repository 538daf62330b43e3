//! Corrupted files: the digest detects them, and opening them without the digest is safe.

use model_snapshot::{Snapshot, SnapshotError};
use serde_json::{Map, Value, json};
use sidecar_contract::Digest;

use crate::{former, model::Model};

/// Calls every accessor on every row, to check that none panics.
fn call_all_accessors(snapshot: &Snapshot) -> usize {
    let users = u32::try_from(snapshot.users()).unwrap();
    let items = u32::try_from(snapshot.items()).unwrap();
    let mut sum = snapshot.user_factors().nrows() + snapshot.item_factors().nrows() + snapshot.gram().nrows();
    for user in 0..=users {
        sum += snapshot.seen(user).iter().map(|item| snapshot.item_id(*item).unwrap().len()).sum::<usize>();
        sum += snapshot.seen_weights(user).map_or(0, <[f32]>::len);
        sum += snapshot.user_id(user).map_or(0, |id| snapshot.user_index(id).unwrap() as usize);
    }
    for item in 0..=items {
        sum += snapshot.item_id(item).map_or(0, |id| snapshot.item_index(id).unwrap() as usize);
        sum += snapshot.title(item).map_or(0, str::len) + usize::from(snapshot.is_available(item));
    }
    sum += snapshot.item_codes().map_or(0, |codes| codes.order.len() + codes.scales.len() + codes.bounds.len());
    sum += snapshot.ratings().map_or(0, |(_, users, items)| users.len() + items.len());
    sum + snapshot.popular().iter().map(|item| snapshot.item_id(*item).unwrap().len()).sum::<usize>()
}

/// Checks that the digest detects `bytes`, and that opening them without it fails or is safe.
fn check(bytes: &[u8], digest: &Digest, what: &str) {
    assert_ne!(Digest::of(bytes), *digest, "{what}");
    if let Ok(snapshot) = Snapshot::from_bytes(bytes) {
        assert!(matches!(snapshot.verify_digest(digest), Err(SnapshotError::WrongDigest { .. })), "{what}");
        call_all_accessors(&snapshot);
    }
}

#[test]
fn flipped_bytes_are_detected_by_the_digest_and_safe_without_it() {
    flip_bytes(&Model::full().with_biases().with_codes().write().0);
    flip_bytes(former::FILE);
}

fn flip_bytes(bytes: &[u8]) {
    let digest = &Digest::of(bytes);
    assert!(bytes.len() > 1000, "the model is too small to test 1000 positions");
    for position in 0..bytes.len() {
        let mut bad = bytes.to_vec();
        bad[position] ^= 1 << (position % 8);
        check(&bad, digest, &format!("byte {position}"));
        for flip in [0x01, 0x0f, 0x80, 0xff] {
            bad[position] = bytes[position] ^ flip;
            let _ = Snapshot::from_bytes(&bad).map(|snapshot| call_all_accessors(&snapshot));
        }
    }
}

#[test]
fn flipped_bytes_are_detected_by_the_checksum_in_the_file() {
    let (bytes, written) = Model::full().with_biases().with_codes().write();
    let digest = |bytes: &[u8]| Snapshot::from_bytes(bytes).and_then(|snapshot| snapshot.checked_digest());
    assert_eq!(digest(&bytes).unwrap(), written.digest);
    // Without the name the checksum is an unknown tensor, as in a file of an older release.
    let name = bytes.windows(10).position(|window| window == b"\"checksum\"").unwrap() + 1..;
    let name = name.start..name.start + 8;
    let mut older = bytes.clone();
    older[name.start] = b'C';
    assert_eq!(digest(&older).unwrap(), Digest::of(&older));
    // The padding after the checksum has 32 bytes.
    for position in (0..bytes.len() - 32).filter(|position| !name.contains(position)) {
        let mut bad = bytes.clone();
        bad[position] ^= 1 << (position % 8);
        assert!(digest(&bad).is_err(), "byte {position}");
    }
}

#[test]
fn truncated_files_are_rejected_without_the_digest() {
    let (bytes, written) = Model::full().with_biases().with_codes().write();
    for length in 0..bytes.len() {
        let error = Snapshot::from_bytes(&bytes[..length]).expect_err("a truncated file must not open");
        assert!(matches!(error, SnapshotError::NotASnapshot(_)), "{length}: {error}");
    }
    let mut grown = bytes.clone();
    grown.push(0);
    check(&grown, &written.digest, "one extra byte");
    assert!(Snapshot::from_bytes(&grown).is_err());
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(Snapshot::read(empty.path()).is_err());
}

/// Rewrites the file with a different header of any length, and with more data at its end.
fn edit_header(bytes: &[u8], change: impl FnOnce(&mut Map<String, Value>), more: &[u8]) -> Vec<u8> {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let mut header = Value::Object(header).to_string();
    while !(8 + header.len()).is_multiple_of(64) {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..], more].concat()
}

/// Rewrites the file with different metadata.
fn edit_metadata(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let change_entry = |header: &mut Map<String, Value>| {
        let entry = &mut header["__metadata__"]["recmesh"];
        let mut metadata = serde_json::from_str(entry.as_str().unwrap()).unwrap();
        change(&mut metadata);
        *entry = metadata.to_string().into();
    };
    edit_header(bytes, change_entry, &[])
}

#[test]
fn unsupported_versions_and_capabilities_are_rejected_and_named() {
    let (bytes, _) = Model::full().write();
    let newer = edit_metadata(&bytes, |metadata| *metadata = json!({"formatVersion": 2, "shards": []}));
    let error = Snapshot::from_bytes(&newer).unwrap_err();
    assert!(matches!(error, SnapshotError::UnknownVersion { found: 2 }), "{error}");
    assert!(error.to_string().contains("version 2 is not supported (this build reads version 1)"), "{error}");

    // The capability is checked before fields that a reader without it may not be able to parse.
    let newer = edit_metadata(&bytes, |metadata| {
        metadata["capabilities"] = json!(["ratings", "shards"]);
        metadata["signal"] = json!("ordinal");
    });
    let error = Snapshot::from_bytes(&newer).unwrap_err();
    assert!(matches!(&error, SnapshotError::UnknownCapability { name } if name == "shards"), "{error}");
    let text = error.to_string();
    assert!(text.contains("\"shards\"") && text.contains("it has cold-items, degree-weights, ratings"), "{text}");
    assert!(text.contains("use an image at least as new as the trainer's"), "{text}");
}

#[test]
fn unknown_tensors_and_metadata_fields_are_ignored() {
    let model = Model::full().with_biases();
    let (bytes, _) = model.write();
    let newer = edit_metadata(&bytes, |metadata| metadata["license"] = json!({"name": "CC0"}));
    let newer = edit_header(
        &newer,
        |header| {
            let offset = |entry: &Value| entry["data_offsets"][1].as_u64();
            let end = header.values().filter_map(offset).max().unwrap();
            let entry = json!({"dtype": "BF16", "shape": [3], "data_offsets": [end, end + 6]});
            header.insert("item_prices".to_owned(), entry);
        },
        &[0; 6],
    );
    let snapshot = Snapshot::from_bytes(&newer).unwrap();
    assert_eq!(*snapshot.metadata(), model.metadata);
    assert_eq!(snapshot.user_factors(), model.user_factors);
    assert!(call_all_accessors(&snapshot) > 0);
}

#[test]
fn an_unknown_algorithm_is_left_to_its_reader() {
    let (bytes, _) = Model::full().write();
    let algorithm = json!({"slim": {"alpha": 0.5}});
    let newer = edit_metadata(&bytes, |metadata| metadata["algorithm"] = algorithm.clone());
    let snapshot = Snapshot::from_bytes(&newer).unwrap();
    assert_eq!(snapshot.metadata().algorithm.unknown(), Some("slim"));
    assert_eq!(serde_json::to_value(&snapshot.metadata().algorithm).unwrap(), algorithm);
}

/// Part of the error, and the change of the metadata that causes it.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Value));

#[test]
fn inconsistent_metadata_is_rejected() {
    let scale = || json!({"mean": 1.0, "deviation": 1.0, "low": 0.0, "high": 2.0});
    let changes: [Change; 16] = [
        ("exceeds 32 bits", &|metadata| metadata["users"] = json!(u64::MAX)),
        ("user_factors", &|metadata| metadata["users"] = json!(6)),
        ("item_factors", &|metadata| metadata["items"] = json!(10)),
        ("user_factors", &|metadata| metadata["factors"] = json!(u64::MAX / 4)),
        ("seen.items", &|metadata| metadata["interactions"] = json!(0)),
        // Ratings without biases; with and without the capability.
        ("requires [\"ratings\"]", &|metadata| metadata["ratings"] = scale()),
        ("user_biases: is missing", &|metadata| {
            (metadata["ratings"], metadata["capabilities"]) = (scale(), json!(["ratings"]));
        }),
        // Capabilities that the model does not require.
        ("requires []", &|metadata| metadata["capabilities"] = json!(["ratings"])),
        ("requires []", &|metadata| metadata["capabilities"] = json!(["cold-items"])),
        ("requires []", &|metadata| metadata["capabilities"] = json!(["degree-weights"])),
        // Not sorted.
        ("lists", &|metadata| {
            (metadata["ratings"], metadata["coldItems"]) = (scale(), json!(1));
            metadata["capabilities"] = json!(["ratings", "cold-items"]);
        }),
        // Cold-start items without the capability, and too many.
        ("requires [\"cold-items\"]", &|metadata| metadata["coldItems"] = json!(1)),
        ("more cold-start items", &|metadata| {
            (metadata["coldItems"], metadata["capabilities"]) = (json!(12), json!(["cold-items"]));
        }),
        // Degree weights of an algorithm without them, an invalid mean, and the reverse.
        ("mean degree weight", &|metadata| {
            (metadata["meanDegreeWeight"], metadata["capabilities"]) = (json!(0.5), json!(["degree-weights"]));
        }),
        ("mean degree weight", &|metadata| {
            metadata["algorithm"]["als"]["degreeExponent"] = json!(0.5);
            (metadata["meanDegreeWeight"], metadata["capabilities"]) = (json!(0.0), json!(["degree-weights"]));
        }),
        ("mean degree weight", &|metadata| metadata["algorithm"]["als"]["degreeExponent"] = json!(0.5)),
    ];
    let (bytes, _) = Model::full().write();
    Snapshot::from_bytes(&edit_metadata(&bytes, |_| ())).unwrap();
    for (problem, change) in changes {
        let error = Snapshot::from_bytes(&edit_metadata(&bytes, change)).unwrap_err();
        assert!(matches!(error, SnapshotError::Corrupt { .. }), "{problem}: {error}");
        assert!(error.to_string().contains(problem), "{problem}: {error}");
    }
}

#[test]
fn tensors_without_what_they_belong_to_are_rejected() {
    let bytes = former::FILE;
    let without_ratings = edit_metadata(bytes, |metadata| {
        metadata.as_object_mut().unwrap().retain(|key, _| key != "ratings" && key != "capabilities");
    });
    let without_titles = edit_header(
        bytes,
        |header| {
            let entry = header.remove("item_titles.bytes").unwrap();
            header.insert("unknown".to_owned(), entry);
        },
        &[],
    );
    for (bytes, problem) in [
        (without_ratings, "user_biases: is present without capability ratings"),
        (without_titles, "item_titles.offsets: is present without item_titles.bytes"),
    ] {
        let error = Snapshot::from_bytes(&bytes).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn inconsistent_parts_are_not_written() {
    let assert_rejected = |change: fn(&mut Model), problem: &str| {
        let mut model = Model::full().with_biases();
        change(&mut model);
        let error = model.try_write().unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    };
    assert_rejected(|model| model.metadata.ratings = None, "user_biases: is present without capability ratings");
    assert_rejected(|model| model.biases = None, "user_biases: is missing");
    assert_rejected(
        |model| {
            model.biases.as_mut().unwrap().0.pop();
        },
        "user_biases: has type F32 and shape [4]; the metadata requires F32 [5]",
    );
    assert_rejected(
        |model| {
            model.item_ids.pop();
        },
        "item_ids.offsets",
    );
    assert_rejected(
        |model| {
            model.seen.pop();
        },
        "seen.offsets",
    );
    assert_rejected(
        |model| {
            model.weights.as_mut().unwrap().pop();
        },
        "seen.weights",
    );
    assert_rejected(
        |model| {
            model.item_counts.pop();
        },
        "item_counts",
    );
    assert_rejected(|model| model.metadata.factors = 4, "user_factors");
    assert_rejected(|model| model.metadata.cold_items = 12, "more cold-start items");
}

/// Contents with a valid type and shape, but with invalid values.
#[test]
fn invalid_contents_are_rejected() {
    let assert_rejected = |change: fn(&mut Model), tensor: &str| {
        let mut model = Model::full().with_biases();
        change(&mut model);
        let error = Snapshot::from_bytes(&model.write().0).unwrap_err();
        assert!(error.to_string().contains(tensor), "{tensor}: {error}");
    };
    assert_rejected(|model| model.user_ids[1] = model.user_ids[0].clone(), "user_ids");
    assert_rejected(|model| model.item_ids[1] = model.item_ids[0].clone(), "item_ids");
    assert_rejected(|model| model.popular_items[0] = 11, "popular_items");
    assert_rejected(|model| model.popular_items[0] = model.popular_items[1], "popular_items");
    assert_rejected(|model| model.seen[0] = vec![0, 2, 11], "seen.items");
    assert_rejected(|model| model.seen[0] = vec![2, 0, 10], "seen.items");
    assert_rejected(|model| model.user_factors[(0, 0)] = f32::NAN, "user_factors");
    assert_rejected(|model| model.item_factors[(10, 2)] = f32::INFINITY, "item_factors");
    assert_rejected(|model| model.biases.as_mut().unwrap().0[4] = f32::NAN, "user_biases");
    assert_rejected(|model| model.biases.as_mut().unwrap().1[10] = f32::INFINITY, "item_biases");
    assert_rejected(|model| model.metadata.ratings.as_mut().unwrap().low = 4.0, "metadata: the scale of the ratings");
    assert_rejected(|model| model.metadata.ratings.as_mut().unwrap().high = 2.0, "metadata: the scale of the ratings");
    assert_rejected(
        |model| model.metadata.ratings.as_mut().unwrap().deviation = 0.0,
        "metadata: the scale of the ratings",
    );
    assert_rejected(|model| model.gram[(0, 0)] = f64::NAN, "gram");
    assert_rejected(|model| model.weights.as_mut().unwrap()[3] = f32::NAN, "seen.weights");
}
