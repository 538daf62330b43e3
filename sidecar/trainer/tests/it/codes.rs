//! The snapshot of a large catalogue holds codes that belong to its items.

use factorization::{CodeParts, Codes};
use sidecar_contract::{Algorithm, AlsConfig};

use crate::setup::{Numbers, Setup, csv, grouped_visits};

#[test]
fn only_large_catalogues_are_stored_with_codes() {
    let (_, small) = Setup::new("visits.csv", csv(&grouped_visits())).trained();
    assert!(small.item_codes().is_none());

    let mut numbers = Numbers(5);
    let rows: Vec<(String, String)> =
        (0..3000).map(|row| (format!("user{}", row % 200), format!("item{}", numbers.below(400)))).collect();
    let mut setup = Setup::new("visits.csv", csv(&rows));
    setup.config.algorithm = Algorithm::Als(AlsConfig { factors: 256, iterations: 1, ..AlsConfig::WIRE_DEFAULT });
    let (_, large) = setup.trained();
    assert!(large.items() * 256 > 65_536, "{} items", large.items());
    let model_snapshot::ItemCodes { order, codes, scales, bounds } = large.item_codes().unwrap();
    Codes::check(CodeParts { order, codes, scales, bounds }, large.item_factors(), None).unwrap();
    let code_bytes = (codes.len() + 4 * (order.len() + scales.len() + bounds.len())) as u64;
    assert!(large.size_bytes() * 4 <= (large.size_bytes() - code_bytes) * 5, "{code_bytes}");
}
