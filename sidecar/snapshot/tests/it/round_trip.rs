//! Round trips with this crate, and reads with the `safetensors` crate.

use std::collections::BTreeSet;

use model_snapshot::{Capability, Contents, PrivateDirectory, Rows, Snapshot, SnapshotError, StringTable};
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors};
use sidecar_contract::Digest;

use crate::model::Model;

/// Checks that every accessor returns the values of the model.
fn check(model: &Model, snapshot: &Snapshot) {
    assert_eq!(*snapshot.metadata(), model.metadata);
    assert_eq!(snapshot.user_factors(), model.user_factors);
    assert_eq!(snapshot.item_factors(), model.item_factors);
    assert_eq!(snapshot.gram(), model.gram);
    let biases = snapshot.ratings().map(|(scale, users, items)| {
        assert_eq!(Some(scale), model.metadata.ratings);
        (users.to_vec(), items.to_vec())
    });
    assert_eq!(biases, model.biases);
    assert_eq!(snapshot.item_counts(), model.item_counts);
    let codes = snapshot.item_codes();
    let codes = codes.map(|c| (c.order.to_vec(), c.codes.to_vec(), c.scales.to_vec(), c.bounds.to_vec()));
    assert_eq!(codes, model.codes);
    let table = |rows: Rows<'_>| (rows.offsets.to_vec(), rows.columns.to_vec(), rows.weights.map(<[f32]>::to_vec));
    assert_eq!(snapshot.two_hop().map(|two_hop| (table(two_hop.lists), two_hop.rows.map(table))), model.two_hop);
    assert_eq!(snapshot.popular(), model.popular_items);
    assert_eq!((snapshot.users(), snapshot.items()), (model.user_ids.len(), model.item_ids.len()));
    let mut start = 0;
    for (row, id) in (0..).zip(&model.user_ids) {
        assert_eq!(snapshot.user_id(row), Some(id.as_str()));
        assert_eq!(snapshot.user_index(id), Some(row));
        let seen = &model.seen[row as usize];
        assert_eq!(snapshot.seen(row), seen);
        let weights = model.weights.as_ref().map(|weights| &weights[start..start + seen.len()]);
        assert_eq!(snapshot.seen_weights(row), weights);
        start += seen.len();
    }
    for (row, id) in (0..).zip(&model.item_ids) {
        assert_eq!(snapshot.item_id(row), Some(id.as_str()));
        assert_eq!(snapshot.item_index(id), Some(row));
        assert_eq!((snapshot.title(row), snapshot.is_available(row)), (None, true));
    }
    for row in [u32::try_from(model.user_ids.len().max(model.item_ids.len())).unwrap(), u32::MAX] {
        assert_eq!((snapshot.user_id(row), snapshot.item_id(row), snapshot.title(row)), (None, None, None));
        assert_eq!((snapshot.seen(row), snapshot.seen_weights(row)), ([].as_slice(), None));
        assert!(!snapshot.is_available(row));
    }
    for unknown in ["\u{10ffff}\u{10ffff}", "no such id, surely"] {
        assert_eq!((snapshot.user_index(unknown), snapshot.item_index(unknown)), (None, None));
    }
}

#[test]
fn models_with_a_two_hop_term_round_trip_and_need_a_reader_that_knows_it() {
    for is_sampled in [false, true] {
        let model = Model::full().with_two_hop(is_sampled);
        let (bytes, _) = model.write();
        let snapshot = Snapshot::from_bytes(&bytes).unwrap();
        check(&model, &snapshot);
        assert_eq!(snapshot.metadata().capabilities(), [Capability::TwoHop]);
    }
    let broken = |change: fn(&mut Model), words: &str| {
        let mut model = Model::full().with_two_hop(true);
        change(&mut model);
        let error = model.try_write().and_then(|(bytes, _)| Snapshot::from_bytes(&bytes)).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?} is not in: {error}");
    };
    broken(|model| model.two_hop = None, "two_hop.lists");
    broken(|model| model.metadata.two_hop_entries = None, "coOccurrenceWeight is above 0");
    broken(|model| model.two_hop.as_mut().unwrap().0.1[1] = 5, "two_hop.lists");
    broken(|model| model.two_hop.as_mut().unwrap().0.1[1] = 0, "is not ascending");
    broken(|model| model.two_hop.as_mut().unwrap().0.0[3] = 9, "two_hop.lists");
    broken(|model| model.two_hop.as_mut().unwrap().1.as_mut().unwrap().1[0] = 11, "two_hop.rows");
    broken(|model| model.two_hop.as_mut().unwrap().1.as_mut().unwrap().2.as_mut().unwrap()[2] = f32::NAN, "not finite");
}

#[test]
fn sums_of_pairs_of_a_two_hop_term_round_trip_and_need_a_reader_that_knows_them() {
    let model = Model::full().with_two_hop_pairs();
    let (bytes, _) = model.write();
    let snapshot = Snapshot::from_bytes(&bytes).unwrap();
    check(&model, &snapshot);
    assert_eq!(snapshot.metadata().capabilities(), [Capability::TwoHop, Capability::TwoHopPairs]);
    assert_eq!(snapshot.two_hop().unwrap().pairs, model.pairs.as_deref());
    let broken = |change: fn(&mut Model), words: &str| {
        let mut model = Model::full().with_two_hop_pairs();
        change(&mut model);
        let error = model.try_write().and_then(|(bytes, _)| Snapshot::from_bytes(&bytes)).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?} is not in: {error}");
    };
    broken(|model| model.pairs = None, "two_hop.pairs");
    broken(|model| model.pairs = Some(vec![1; 100]), "two_hop.pairs");
    broken(|model| model.metadata.two_hop_pair_items = None, "two_hop.pairs");
    broken(|model| model.metadata.two_hop_pair_items = Some(10), "all items of a two-hop term");
    // The last item, which has a user, as a cold-start item.
    let cold = |model: &mut Model| {
        (model.metadata.cold_items, model.metadata.two_hop_pair_items) = (1, Some(10));
        model.pairs = Some((0..100).collect());
    };
    broken(cold, "an item without sums of pairs has users");
}

#[test]
fn a_two_hop_term_of_als_has_a_matrix_and_its_first_eigenvalue() {
    let model = Model::full().with_two_hop_span();
    let snapshot = Snapshot::from_bytes(&model.write().0).unwrap();
    check(&model, &snapshot);
    assert_eq!(snapshot.metadata().capabilities(), [Capability::TwoHop, Capability::TwoHopSpan]);
    assert_eq!(snapshot.two_hop().unwrap().span, model.span.as_ref().map(|span| span.view()));
    let broken = |change: fn(&mut Model), words: &str| {
        let mut model = Model::full().with_two_hop_span();
        change(&mut model);
        let error = model.try_write().and_then(|(bytes, _)| Snapshot::from_bytes(&bytes)).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?} is not in: {error}");
    };
    broken(|model| model.span = None, "two_hop.span");
    broken(|model| model.metadata.two_hop_first_square = None, "first eigenvalue");
    broken(|model| model.metadata.two_hop_first_square = Some(-1.0), "first eigenvalue");
    broken(|model| model.span.as_mut().unwrap()[[0, 0]] = f64::NAN, "not finite");
    let mut of_svd = Model::full().with_two_hop(false);
    of_svd.metadata.two_hop_first_square = Some(1.0);
    assert!(of_svd.try_write().is_err());
}

#[test]
fn models_with_cold_items_round_trip_with_and_without_biases() {
    for mut model in [Model::full(), Model::full().with_biases()] {
        model.metadata.cold_items = 2;
        check(&model, &Snapshot::from_bytes(&model.write().0).unwrap());
    }
}

#[test]
fn full_models_round_trip_mapped_and_in_memory() {
    let model = Model::full();
    let (bytes, written) = model.write();
    assert_eq!(written.bytes, bytes.len() as u64);
    assert_eq!(written.digest, Digest::of(&bytes));
    let directory = tempfile::tempdir().unwrap();
    let file = PrivateDirectory::create(directory.path()).unwrap().file("model").unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let (mapped, read) = (Snapshot::map(&file, Contents::Unchecked).unwrap(), Snapshot::read(file.path()).unwrap());
    for snapshot in [mapped, read, Snapshot::from_bytes(&bytes).unwrap()] {
        check(&model, &snapshot);
        snapshot.verify_digest(&written.digest).unwrap();
        assert_eq!(snapshot.size_bytes(), written.bytes);
        let other = Digest::of(b"another model");
        assert!(matches!(snapshot.verify_digest(&other), Err(SnapshotError::WrongDigest { .. })));
    }
}

#[test]
fn a_file_that_is_overwritten_and_truncated_does_not_change_what_was_read() {
    let model = Model::full();
    let (bytes, written) = model.write();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let snapshot = Snapshot::read(file.path()).unwrap();
    // As `cp` does: the same file gets other bytes, then none.
    std::fs::write(file.path(), vec![0xff; bytes.len()]).unwrap();
    check(&model, &snapshot);
    std::fs::write(file.path(), "").unwrap();
    check(&model, &snapshot);
    snapshot.verify_digest(&written.digest).unwrap();
}

#[test]
fn rating_models_round_trip_with_their_biases() {
    let model = Model::full().with_biases();
    let (bytes, written) = model.write();
    let snapshot = Snapshot::from_bytes(&bytes).unwrap();
    check(&model, &snapshot);
    snapshot.verify_digest(&written.digest).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("item_biases").unwrap().shape(), [11]);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let json = &header.metadata().as_ref().unwrap()["recmesh"];
    assert!(json.contains(r#""capabilities":["ratings"],"factors":3,"formatVersion":1,"#), "{json}");
    // A model without biases has none of their bytes. The digest is golden: a change of it is a new
    // revision of every model that is trained again, and is named in the changelog.
    let (plain, written) = Model::full().write();
    let text = String::from_utf8_lossy(&plain);
    assert!(!text.contains("biases") && !text.contains("capabilities") && text.contains(r#"\"formatVersion\":1"#));
    assert_eq!(written.digest.revision(), "45c97ffe6d");
}

#[test]
fn models_round_trip_with_codes_and_keep_their_bytes_without_them() {
    let model = Model::full().with_codes();
    let (bytes, _) = model.write();
    check(&model, &Snapshot::from_bytes(&bytes).unwrap());
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let scales = tensors.tensor("item_codes.scales").unwrap();
    assert_eq!((scales.dtype(), scales.shape()), (Dtype::BF16, [11, 2].as_slice()));
    assert_eq!(tensors.tensor("item_codes.bounds").unwrap().shape(), [1, 3]);
    // A reader that does not know codes gives the same lists, so no capability is listed.
    assert!(!String::from_utf8_lossy(&bytes).contains("capabilities"));
    assert_eq!(Model { codes: None, ..model }.write(), Model::full().write());
}

#[test]
fn empty_models_round_trip() {
    let model = Model::new(vec![], vec![], 2, vec![]);
    check(&model, &Snapshot::from_bytes(&model.write().0).unwrap());
}

#[test]
fn bytes_do_not_depend_on_the_memory_order() {
    let model = Model::full();
    let mut transposed = model.clone();
    transposed.user_factors = model.user_factors.t().as_standard_layout().into_owned().reversed_axes();
    assert!(!transposed.user_factors.is_standard_layout());
    assert_eq!(model.write(), transposed.write());
}

#[test]
fn the_safetensors_crate_reads_snapshots() {
    let model = Model::full();
    let (bytes, _) = model.write();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (header_length, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!((8 + header_length) % 64, 0);
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["recmesh"]);
    let json = &metadata["recmesh"];
    assert!(
        json.starts_with(r#"{"algorithm":{"als":{"factors":64,"iterations":15,"regularization":0.30000000000000004,"#),
        "{json}"
    );

    let factors = tensors.tensor("user_factors").unwrap();
    assert_eq!((factors.dtype(), factors.shape()), (Dtype::F32, [5, 3].as_slice()));
    let expected: Vec<u8> = model.user_factors.iter().flat_map(|number| number.to_le_bytes()).collect();
    assert_eq!(factors.data(), expected);
    let gram = tensors.tensor("gram").unwrap();
    assert_eq!((gram.dtype(), gram.shape()), (Dtype::F64, [3, 3].as_slice()));
    assert_eq!(tensors.tensor("user_ids.bytes").unwrap().data(), model.user_ids.concat().as_bytes());
    for (name, tensor) in tensors.tensors() {
        let offset = tensor.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert!(name.starts_with("_pad.") || offset.is_multiple_of(64), "{name} starts at byte {offset}");
    }
    let count = tensors.names().into_iter().filter(|name| !name.starts_with("_pad.")).count();
    assert_eq!(count, 16);
    let checksum = tensors.tensor("checksum").unwrap();
    let before = checksum.data().as_ptr() as usize - bytes.as_ptr() as usize;
    assert_eq!(Digest::from_hash(checksum.data().try_into().unwrap()), Digest::of(&bytes[..before]));
}

#[test]
fn errors_name_a_missing_file() {
    let error = Snapshot::read(std::path::Path::new("/no/such/model.safetensors")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read snapshot /no/such/model.safetensors");
}

#[test]
fn string_tables_round_trip() {
    let table: StringTable = ["a", "", "ünï"].into_iter().collect();
    assert_eq!(table.iter().collect::<Vec<_>>(), ["a", "", "ünï"]);
    assert_eq!((table.get(3), table.len(), StringTable::default().is_empty()), (None, 3, true));
}

prop_compose! {
    fn models()(
        users in prop::collection::btree_set(".{0,6}", 0..20),
        items in prop::collection::btree_set(".{0,6}", 0..20),
        factors in 1_usize..9,
        shuffle in any::<u64>(),
        optional in any::<[bool; 2]>(),
    ) -> Model {
        // A cheap, deterministic shuffle, so that rows are not sorted by id.
        let shuffled = |ids: BTreeSet<String>| {
            let mut ids: Vec<String> = ids.into_iter().collect();
            ids.sort_by_key(|id| Digest::of(format!("{shuffle}{id}").as_bytes()));
            ids
        };
        let (users, items) = (shuffled(users), shuffled(items));
        let count = u64::try_from(items.len()).unwrap();
        let seen: Vec<Vec<u32>> = (0..users.len() as u64)
            .map(|user| (0..count).filter(move |item| (shuffle >> ((user * 7 + item) % 61)) & 1 == 1))
            .map(|row| row.map(|item| u32::try_from(item).unwrap()).collect())
            .collect();
        let interactions = seen.concat().len();
        let mut model = Model::new(users, items, factors, seen);
        model.weights = optional[0].then(|| (0..interactions).map(|i| i as f32 - 3.5).collect());
        if optional[1] { model.with_biases() } else { model }
    }
}

proptest! {
    #[test]
    fn arbitrary_models_round_trip(model in models()) {
        let (bytes, written) = model.write();
        let snapshot = Snapshot::from_bytes(&bytes).unwrap();
        check(&model, &snapshot);
        snapshot.verify_digest(&written.digest).unwrap();
        prop_assert_eq!(model.write().0, bytes.clone());
        SafeTensors::deserialize(&bytes).unwrap();
    }
}
