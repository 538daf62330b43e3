//! Bytes that are not what was written: refused by the digest, and harmless without it.

use model_snapshot::{Metadata, Scale, Snapshot, SnapshotError};
use sidecar_contract::{Algorithm, AlsConfig, Digest};

use crate::model::Model;

/// Every accessor on every row. It must not panic, whatever it says.
fn use_everything(snapshot: &Snapshot) -> usize {
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
    sum += snapshot.ratings().map_or(0, |(_, users, items)| users.len() + items.len());
    sum + snapshot.popular().iter().map(|item| snapshot.item_id(*item).unwrap().len()).sum::<usize>()
}

/// The digest refuses `bytes`; opened without it, they are refused or harmless.
fn check(bytes: &[u8], digest: &Digest, what: &str) {
    assert_ne!(Digest::of(bytes), *digest, "{what}");
    if let Ok(snapshot) = Snapshot::from_bytes(bytes) {
        assert!(matches!(snapshot.verify_digest(digest), Err(SnapshotError::WrongDigest { .. })), "{what}");
        use_everything(&snapshot);
    }
}

#[test]
fn every_flipped_byte_is_refused_by_the_digest_and_harmless_without_it() {
    let (bytes, written) = Model::full().with_biases().write();
    assert!(bytes.len() > 1000, "the model is too small for a test of 1000 positions");
    for position in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[position] ^= 1 << (position % 8);
        check(&bad, &written.digest, &format!("byte {position}"));
        for flip in [0x01, 0x0f, 0x80, 0xff] {
            bad[position] = bytes[position] ^ flip;
            let _ = Snapshot::from_bytes(&bad).map(|snapshot| use_everything(&snapshot));
        }
    }
}

#[test]
fn every_truncation_is_refused_even_without_the_digest() {
    let (bytes, written) = Model::full().with_biases().write();
    for length in 0..bytes.len() {
        let error = Snapshot::from_bytes(&bytes[..length]).expect_err("a cut file must not open");
        assert!(matches!(error, SnapshotError::NotASnapshot(_)), "{length}: {error}");
    }
    let mut grown = bytes.clone();
    grown.push(0);
    check(&grown, &written.digest, "one byte more");
    assert!(Snapshot::from_bytes(&grown).is_err());
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(Snapshot::open(empty.path()).is_err());
}

/// Rewrites the file with another metadata text of any length.
fn with_metadata(bytes: &[u8], metadata: &str) -> Vec<u8> {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header["__metadata__"]["recmesh"] = metadata.into();
    let mut header = header.to_string();
    while !(8 + header.len()).is_multiple_of(64) {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..]].concat()
}

#[test]
fn an_unknown_version_is_refused_by_name() {
    let model = Model::full();
    let (bytes, _) = model.write();
    let newer = with_metadata(&bytes, r#"{"formatVersion": 5, "shards": []}"#);
    let error = Snapshot::from_bytes(&newer).unwrap_err();
    assert!(matches!(error, SnapshotError::UnknownVersion { found: 5 }), "{error}");
    assert!(error.to_string().contains("version 5 is not known here"), "{error}");
}

fn shares() -> Algorithm {
    Algorithm::Als(AlsConfig { degree_exponent: 0.5, ..AlsConfig::default() })
}

#[test]
fn metadata_that_does_not_fit_the_tensors_is_refused() {
    let model = Model::full();
    let (bytes, _) = model.write();
    let with = |change: fn(&mut Metadata)| {
        let mut metadata = model.metadata.clone();
        change(&mut metadata);
        Snapshot::from_bytes(&with_metadata(&bytes, &serde_json::to_string(&metadata).unwrap()))
    };
    with(|_| ()).unwrap();
    for change in [
        |metadata: &mut Metadata| metadata.users = u64::MAX,
        |metadata: &mut Metadata| metadata.users += 1,
        |metadata: &mut Metadata| metadata.items -= 1,
        |metadata: &mut Metadata| metadata.factors = u64::MAX / 4,
        |metadata: &mut Metadata| metadata.interactions = 0,
        // Biases that are not there, and a version that says there are some.
        |metadata: &mut Metadata| metadata.ratings = Some(Scale { mean: 1.0, deviation: 1.0, low: 0.0, high: 2.0 }),
        |metadata: &mut Metadata| metadata.format_version = 2,
        // Cold items that the version does not have, and more of them than items.
        |metadata: &mut Metadata| metadata.cold_items = 1,
        |metadata: &mut Metadata| metadata.format_version = 3,
        |metadata: &mut Metadata| (metadata.format_version, metadata.cold_items) = (3, metadata.items + 1),
        // Shares that the version does not have, and a mean that is none.
        |metadata: &mut Metadata| metadata.mean_share = Some(0.5),
        |metadata: &mut Metadata| metadata.format_version = 4,
        |metadata: &mut Metadata| (metadata.format_version, metadata.mean_share) = (4, Some(0.0)),
        // Weights that have shares, and no mean of them; and the other way round.
        |metadata: &mut Metadata| metadata.algorithm = shares(),
        |metadata: &mut Metadata| (metadata.format_version, metadata.mean_share) = (4, Some(0.5)),
    ] {
        let error = with(change).unwrap_err();
        assert!(matches!(error, SnapshotError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn parts_that_do_not_go_together_are_not_written() {
    let mut model = Model::full().with_biases();
    model.metadata.format_version = 1;
    assert!(model.try_write().unwrap_err().to_string().contains("version 2"));
    let mut model = Model::full();
    model.metadata.ratings = Some(Scale { mean: 1.0, deviation: 1.0, low: 0.0, high: 2.0 });
    assert!(model.try_write().unwrap_err().to_string().contains("ratings as with biases"));
    let mut model = Model::full().with_biases();
    model.biases.as_mut().unwrap().0.pop();
    assert!(model.try_write().unwrap_err().to_string().contains("user_biases"));
}

/// Contents that are in the right place and type, but lie.
#[test]
fn contents_that_would_mislead_are_refused() {
    let refused = |change: fn(&mut Model), tensor: &str| {
        let mut model = Model::full().with_biases();
        change(&mut model);
        let error = Snapshot::from_bytes(&model.write().0).unwrap_err();
        assert!(error.to_string().contains(tensor), "{tensor}: {error}");
    };
    refused(|model| model.user_ids[1] = model.user_ids[0].clone(), "user_ids");
    refused(|model| model.item_ids[1] = model.item_ids[0].clone(), "item_ids");
    refused(|model| model.popular_items[0] = 11, "popular_items");
    refused(|model| model.popular_items[0] = model.popular_items[1], "popular_items");
    refused(|model| model.seen[0] = vec![0, 2, 11], "seen.items");
    refused(|model| model.seen[0] = vec![2, 0, 10], "seen.items");
    refused(|model| model.user_factors[(0, 0)] = f32::NAN, "user_factors");
    refused(|model| model.item_factors[(10, 2)] = f32::INFINITY, "item_factors");
    refused(|model| model.biases.as_mut().unwrap().0[4] = f32::NAN, "user_biases");
    refused(|model| model.biases.as_mut().unwrap().1[10] = f32::INFINITY, "item_biases");
    refused(|model| model.metadata.ratings.as_mut().unwrap().low = 4.0, "metadata: ratings are on no scale");
    refused(|model| model.metadata.ratings.as_mut().unwrap().high = 2.0, "metadata: ratings are on no scale");
    refused(|model| model.metadata.ratings.as_mut().unwrap().deviation = 0.0, "metadata: ratings are on no scale");
    refused(|model| model.gram[(0, 0)] = f64::NAN, "gram");
    refused(|model| model.weights.as_mut().unwrap()[3] = f32::NAN, "seen.weights");
}
