//! Item ids that are read from a part of a file.

use model_snapshot::{ItemIds, ItemIdsPart, Snapshot, SnapshotError};

use crate::{former, model::Model};

/// Reads the ids as from a store: the head, then a range. `None` if they have no checksum.
fn read(bytes: &[u8]) -> Result<Option<ItemIds>, SnapshotError> {
    let head = bytes.get(..ItemIdsPart::head_bytes(bytes)?).unwrap_or(bytes);
    let Some(part) = ItemIdsPart::find(head, bytes.len() as u64)? else { return Ok(None) };
    let range = part.range();
    let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
    part.open(&bytes[range]).map(Some)
}

fn rows(ids: &ItemIds, of: &Snapshot) -> Vec<Option<u32>> {
    assert_eq!(ids.items(), of.items());
    (0..u32::try_from(of.items()).unwrap()).map(|row| ids.item_index(of.item_id(row).unwrap())).collect()
}

#[test]
fn ids_equal_those_of_the_whole_file_and_changed_bytes_are_detected() {
    let (bytes, _) = Model::full().with_biases().with_codes().write();
    let snapshot = Snapshot::from_bytes(&bytes).unwrap();
    let ids = read(&bytes).unwrap().unwrap();
    let expected: Vec<Option<u32>> = (0..u32::try_from(snapshot.items()).unwrap()).map(Some).collect();
    assert_eq!(rows(&ids, &snapshot), expected);
    assert_eq!(ids.item_index("no such item"), None);
    let mut detected = 0;
    for position in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[position] ^= 1 << (position % 8);
        match read(&bad) {
            Err(_) => detected += 1,
            // A byte of another tensor, of padding, or of a name.
            Ok(None) => {}
            Ok(Some(ids)) => assert_eq!(rows(&ids, &snapshot), expected, "byte {position}"),
        }
    }
    let of_ids: usize =
        (0..u32::try_from(snapshot.items()).unwrap()).map(|row| snapshot.item_id(row).unwrap().len()).sum();
    assert!(detected > of_ids + 12 * snapshot.items() + 40, "{detected}");
}

#[test]
fn a_former_file_is_read_whole_and_a_truncated_one_is_refused() {
    assert!(read(former::FILE).unwrap().is_none());
    let (bytes, _) = Model::full().write();
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "{length}");
    }
}
