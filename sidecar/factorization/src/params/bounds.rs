//! Bounds of the parameters; the CRD schema repeats them.

/// Maximum number of factors.
pub const FACTORS_MAX: u32 = 1024;
/// Maximum number of iterations.
pub const ITERATIONS_MAX: u32 = 1000;
/// Maximum number of conjugate gradient steps.
pub const STEPS_MAX: u32 = 100;
/// Maximum number of samples.
pub const SAMPLES_MAX: u32 = 1000;
/// Maximum λ.
pub const REGULARIZATION_MAX: f64 = 1e6;
/// Maximum ν.
pub const REGULARIZATION_EXPONENT_MAX: f64 = 2.0;
/// Maximum η and η′.
pub const DEGREE_EXPONENT_MAX: f64 = 1.0;
/// Maximum weight of the two-hop term. With more the factors have no influence.
pub const CO_OCCURRENCE_WEIGHT_MAX: f64 = 1e4;
/// Maximum of the minimum number of users of an item in the two-hop term.
pub const USERS_PER_ITEM_MIN_MAX: u32 = 1000;
/// Minimum γ.
pub const LEARNING_RATE_MIN: f64 = 1e-6;
/// Maximum γ.
pub const LEARNING_RATE_MAX: f64 = 10.0;
/// Maximum ρ.
pub const POPULARITY_BOOST_MAX: f64 = 1.0;
/// Maximum α₀.
pub const UNOBSERVED_WEIGHT_MAX: f64 = 1e4;
