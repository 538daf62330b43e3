//! A file of the form that had titles and availability, as the trainer wrote it.

use model_snapshot::Snapshot;

use crate::model::Model;

/// `Model::full().with_biases()` with titles `Title ☕ <row>`, of which row 4 is empty,
/// and every third item not available.
pub const FILE: &[u8] = include_bytes!("../former.safetensors");

#[test]
fn titles_and_availability_of_former_files_are_read() {
    let snapshot = Snapshot::from_bytes(FILE).unwrap();
    snapshot.checked_digest().unwrap();
    for row in 0..11 {
        let title = (row != 4).then(|| format!("Title ☕ {row}"));
        assert_eq!((snapshot.title(row), snapshot.is_available(row)), (title.as_deref(), row % 3 != 0));
    }
    assert_eq!((snapshot.title(11), snapshot.is_available(11)), (None, false));
}

#[test]
fn everything_else_is_written_as_before() {
    let (former, model) = (Snapshot::from_bytes(FILE).unwrap(), Model::full().with_biases());
    let now = Snapshot::from_bytes(&model.write().0).unwrap();
    assert_eq!(former.metadata(), now.metadata());
    assert_eq!((former.user_factors(), former.item_factors()), (now.user_factors(), now.item_factors()));
    assert_eq!((former.gram(), former.ratings()), (now.gram(), now.ratings()));
    assert_eq!((former.popular(), former.item_counts()), (now.popular(), now.item_counts()));
    assert_eq!((now.title(0), now.available()), (None, None));
}
