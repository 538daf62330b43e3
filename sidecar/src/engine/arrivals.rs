//! Arrivals of the tests that simulate load.

use std::time::Duration;

/// Intervals between Poisson arrivals with this mean, in seconds; the same in each run.
pub fn poisson_intervals(mean: f64) -> impl FnMut() -> Duration {
    let mut random: u64 = 88_172_645_463_325_252;
    move || {
        // xorshift64 (Marsaglia 2003); its high bits give a number in (0, 1].
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let uniform = (f64::from(u32::try_from(random >> 32).unwrap()) + 1.0) / 4_294_967_296.0;
        Duration::from_secs_f64(-uniform.ln() * mean)
    }
}
