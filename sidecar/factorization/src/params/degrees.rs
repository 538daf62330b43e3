//! Powers of degrees: of the numbers of entries of users and of items.

/// Added to every degree, so that a single entry of a rare item does not weigh as much as all
/// entries of a popular one. ADR 14 has the figures.
pub(super) const DEGREE_SMOOTHING: f64 = 10.0;

/// (d + 10)^`exponent` for a degree d.
pub(crate) fn smoothed_degree_power(degree: u32, exponent: f64) -> f64 {
    libm::pow(f64::from(degree) + DEGREE_SMOOTHING, exponent)
}
