//! Random numbers as a function of (seed, row, column): any thread may draw them in any order.
//!
//! The generator is SplitMix64's finalizer (Steele, Lea and Flood 2014) over a counter.

/// A stream of words for one seed and purpose.
pub fn word(seed: u64, stream: u64, counter: u64) -> u64 {
    mix(mix(mix(seed).wrapping_add(stream)).wrapping_add(counter))
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Uniform in (0, 1).
pub fn uniform(word: u64) -> f64 {
    ((word >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// Standard normal, by Box and Muller (1958); `libm` gives the same bits on every platform.
pub fn normal(seed: u64, stream: u64, counter: u64) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(uniform(word(seed, stream, 2 * counter))));
    radius * libm::cos(std::f64::consts::TAU * uniform(word(seed, stream, 2 * counter + 1)))
}

/// Maximum number of attempts per gamma number; each is accepted with a probability above 0.95.
const GAMMA_ATTEMPTS_MAX: u64 = 1000;

/// Gamma with this shape (minimum ½) and rate 1, by Marsaglia and Tsang (2000, "A simple method for
/// generating gamma variables"). Uses counters from `counter` + 1, two per attempt.
pub(crate) fn gamma(seed: u64, stream: u64, counter: u64, shape: f64) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    for draw in 1..=GAMMA_ATTEMPTS_MAX {
        let x = normal(seed, stream, counter + 2 * draw - 1);
        let v = 1.0 + c * x;
        let v = v * v * v;
        let u = uniform(word(seed, stream, 2 * (counter + 2 * draw)));
        if v > 0.0 && libm::log(u) < 0.5 * x * x + d * (1.0 - v + libm::log(v)) {
            return d * v;
        }
    }
    d
}

/// Uniform in 0..bound (bias below 2⁻³² for every bound that fits in u32).
pub fn below(word: u64, bound: usize) -> usize {
    usize::try_from((u128::from(word) * bound as u128) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixer_is_splitmix64() {
        // First outputs of SplitMix64 from state 0, as published with xoshiro's reference code.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn gammas_have_mean_and_variance_equal_to_their_shape() {
        for shape in [0.5, 3.0, 400.0] {
            let draws: Vec<f64> = (0..100_000).map(|i| gamma(7, i, 0, shape)).collect();
            let mean = draws.iter().sum::<f64>() / 1e5;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
            // Five standard errors; the fourth central moment is 3k² + 6k.
            assert!((mean - shape).abs() < 5.0 * (shape / 1e5).sqrt(), "{shape}: {mean}");
            let error = ((2.0 * shape * shape + 6.0 * shape) / 1e5).sqrt();
            assert!((variance - shape).abs() < 5.0 * error, "{shape}: {variance}");
        }
    }

    #[test]
    fn normals_have_mean_0_and_variance_1() {
        let draws: Vec<f64> = (0..100_000).map(|i| normal(7, 3, i)).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        // Five standard errors.
        assert!(mean.abs() < 5.0 / 316.0, "{mean}");
        assert!((variance - 1.0).abs() < 5.0 * 2_f64.sqrt() / 316.0, "{variance}");
    }
}
