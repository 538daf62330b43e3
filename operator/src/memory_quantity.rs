//! Quantities of memory, as in `resources.limits.memory`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use recommender_crds::Resources;

/// Largest plausible memory size: an exbibyte.
const BYTES_MAX: f64 = 1_152_921_504_606_846_976.0;

/// A quantity in bytes, rounded up; `None` if it is not a plausible memory size.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
pub fn bytes_of_quantity(quantity: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 10] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("m", 1e-3),
        ("", 1.0),
    ];
    let (number, unit) = UNITS.iter().find_map(|(suffix, unit)| Some((quantity.strip_suffix(suffix)?, unit)))?;
    let bytes = (number.parse::<f64>().ok()? * unit).ceil();
    (0.0..BYTES_MAX).contains(&bytes).then_some(bytes as u64)
}

/// The memory limit of a container in bytes; `None` without one.
pub fn memory_limit(resources: Option<&Resources>) -> Option<u64> {
    bytes_of_quantity(&Quantity::from(resources?.limits.get("memory")?).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_bytes() {
        for (quantity, bytes) in [
            ("128Mi", Some(128 << 20)),
            ("1.5Gi", Some(3 << 29)),
            ("1G", Some(1_000_000_000)),
            ("1500m", Some(2)),
            ("5", Some(5)),
            ("many", None),
            ("-1Gi", None),
        ] {
            assert_eq!(bytes_of_quantity(quantity), bytes, "{quantity}");
        }
    }
}
