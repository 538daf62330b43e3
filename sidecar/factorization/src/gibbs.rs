//! Gibbs sampling of a model of ratings: draws all items, then all users, each given the others,
//! and before each half the hyperparameters of its rows (Salakhutdinov and Mnih 2008, "Bayesian
//! probabilistic matrix factorization using Markov chain Monte Carlo", ICML). Rendle, Zhang and
//! Koren 2019 ("On the difficulty of evaluating baselines") found nothing better on ratings.
//!
//! Factors are independent a priori, as in Rendle 2013 ("Scaling factorization machines to
//! relational data", VLDB), instead of Normal–Wishart: the model can be rotated so that they are
//! independent.

use ndarray::Array2;

use crate::{
    factor_rows::solve_rows,
    fit_error::Side,
    interactions::Interactions,
    params::{ValidExplicitAlsParams, bounds},
    random::{gamma, normal},
    rating_draw::{Draw, Prior},
    rating_solver::RatingSolver,
    ratings::RatingScale,
    row_solver::SolveError,
};

/// Scale of the weak priors of variances, as a fraction of their unit. Each prior counts as one
/// observation.
const PRIOR_SCALE: f64 = 0.01;

/// Number of random counters reserved per column.
const COUNTERS_PER_COLUMN: u64 = 1 << 12;
/// First random counter of the noise, after those of all columns.
const NOISE_COUNTER: u64 = COUNTERS_PER_COLUMN * (bounds::FACTORS_MAX as u64 + 1);

/// Markov chain of samples.
pub(crate) struct Chain<'a> {
    pub(crate) by_user: &'a Interactions,
    pub(crate) by_item: &'a Interactions,
    pub(crate) scale: RatingScale,
    pub(crate) params: &'a ValidExplicitAlsParams,
    pub(crate) seed: u64,
    /// α: precision of the noise, one over its variance.
    pub(crate) precision: f64,
}

impl<'a> Chain<'a> {
    /// Starts where ALS ended. Its objective is mostly squared errors.
    pub(crate) fn new(
        by_user: &'a Interactions,
        by_item: &'a Interactions,
        scale: RatingScale,
        params: &'a ValidExplicitAlsParams,
        seed: u64,
        objective: f64,
    ) -> Self {
        let deviation_min = PRIOR_SCALE * f64::from(scale.deviation);
        let precision = 1.0 / (objective / by_user.nnz() as f64).max(deviation_min * deviation_min);
        Self { by_user, by_item, scale, params, seed, precision }
    }

    /// Draws all items, all users, and α. Rows of both sides are factors, bias and padding;
    /// `iteration` counts from 1. Returns Σ (r − r̂)².
    pub(crate) fn draw_iteration(
        &mut self,
        users: &mut Array2<f32>,
        items: &mut Array2<f32>,
        iteration: u32,
    ) -> Result<f64, (Side, usize, SolveError)> {
        // Streams are above all row indexes, which are the streams of the initial factors.
        let stream = |offset: u64| (4 * u64::from(iteration) + offset) << 32;
        let prior = self.prior(self.by_item, items, stream(0));
        self.draw_side(self.by_item, users, items, &prior, stream(1)).map_err(|(row, e)| (Side::Item, row, e))?;
        let prior = self.prior(self.by_user, users, stream(2));
        let squares =
            self.draw_side(self.by_user, items, users, &prior, stream(3)).map_err(|(row, e)| (Side::User, row, e))?;
        let deviation = f64::from(self.scale.deviation);
        let rate = 0.5 * (squares + PRIOR_SCALE * PRIOR_SCALE * deviation * deviation);
        let shape = 0.5 * (self.by_user.nnz() as f64 + 1.0);
        self.precision = gamma(self.seed, stream(0), NOISE_COUNTER, shape) / rate;
        Ok(squares)
    }

    /// Draws the hyperparameters of a side, given its rows that have ratings. The prior of a mean
    /// is normal around 0, that of a precision is a gamma distribution; each counts as one more
    /// row.
    fn prior(&self, rows: &Interactions, side: &Array2<f32>, stream: u64) -> Prior {
        let (f, deviation) = (self.params.factors(), f64::from(self.scale.deviation));
        let mut prior = Prior { means: Vec::with_capacity(f + 1), precisions: Vec::with_capacity(f + 1) };
        for column in 0..=f {
            let drawn = side.column(column).into_iter().enumerate().filter(|(row, _)| !rows.row(*row).0.is_empty());
            let (mut count, mut sum, mut squares) = (1.0, 0.0, 0.0);
            for (_, x) in drawn {
                let x = f64::from(*x);
                count += 1.0;
                sum += x;
                squares += x * x;
            }
            // A rating is a product of two factors, so a squared factor has the unit of a rating.
            let unit = if column < f { deviation } else { deviation * deviation };
            let mean = sum / count;
            let rate = 0.5 * (PRIOR_SCALE * unit + squares - mean * sum);
            let counter = COUNTERS_PER_COLUMN * column as u64;
            let precision = gamma(self.seed, stream, counter, 0.5 * count) / rate;
            prior.means.push(mean + normal(self.seed, stream, counter) / (count * precision).sqrt());
            prior.precisions.push(precision);
        }
        prior
    }

    fn draw_side(
        &self,
        rows: &Interactions,
        fixed: &Array2<f32>,
        drawn: &mut Array2<f32>,
        prior: &Prior,
        stream: u64,
    ) -> Result<f64, (usize, SolveError)> {
        let (f, width) = (self.params.factors(), fixed.ncols());
        let biases = fixed.column(f).to_vec();
        let fixed = fixed.as_slice().expect("factor matrices are in standard layout");
        let solver = RatingSolver::padded(fixed, width, &biases, self.scale, self.params);
        solve_rows(
            drawn,
            || (RatingSolver::scratch(self.params), vec![0.0; f + 1]),
            |(scratch, normals), row, out| {
                let (indexes, ratings) = rows.row(row);
                if indexes.is_empty() {
                    out.fill(0.0);
                    return Ok(0.0);
                }
                for (column, x) in normals.iter_mut().enumerate() {
                    *x = normal(self.seed, stream + row as u64, column as u64);
                }
                let (row, precision) = (&mut out[..=f], self.precision);
                Draw { solver: &solver, prior, precision, indexes, ratings, normals, scratch, row }.draw()
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{interactions::Entry, params::ExplicitAlsParams};

    #[test]
    fn hyperparameter_draws_have_the_moments_of_the_closed_form() {
        // 50 items with one rating each, one factor and a bias, and one item without ratings.
        let entries = (0..50).map(|item| Entry { user: 0, item, value: 3.0 }).collect();
        let by_user = Interactions::from_entries(1, 51, entries).unwrap();
        let by_item = by_user.transpose();
        let params = ExplicitAlsParams { factors: 1, ..ExplicitAlsParams::default() }.check().unwrap();
        let scale = RatingScale { mean: 3.0, deviation: 2.0, low: 1.0, high: 5.0 };
        let side = Array2::from_shape_fn((51, 16), |(i, j)| {
            let value = [0.5_f32, 1.5, -0.25, 2.0, 0.75][(i + j) % 5];
            if i == 50 { 99.0 } else { value }
        });
        let chain = Chain { by_user: &by_user, by_item: &by_item, scale, params: &params, seed: 3, precision: 1.0 };
        let draws: Vec<Prior> = (0..20_000).map(|stream| chain.prior(&by_item, &side, stream)).collect();
        for (column, unit) in [(0, 2.0), (1, 4.0)] {
            let seen: Vec<f64> = (0..50).map(|i| f64::from(side[[i, column]])).collect();
            let (sum, squares) = (seen.iter().sum::<f64>(), seen.iter().map(|x| x * x).sum::<f64>());
            // Closed forms of the normal and gamma distributions: E[mean] = Σx/51;
            // E[precision] = 51/(w + Σx² − (Σx)²/51).
            let (mean, precision) = (sum / 51.0, 51.0 / (0.01 * unit + squares - sum * sum / 51.0));
            let average = |of: &dyn Fn(&Prior) -> f64| draws.iter().map(of).sum::<f64>() / 20_000.0;
            let (drawn_mean, drawn) = (average(&|p| p.means[column]), average(&|p| p.precisions[column]));
            assert!((drawn_mean - mean).abs() < 5.0 * (1.1 / precision / 51.0 / 2e4).sqrt(), "{drawn_mean} {mean}");
            assert!((drawn / precision - 1.0).abs() < 5.0 * (2.0 / 51.0 / 2e4_f64).sqrt(), "{drawn} {precision}");
        }
    }

    #[test]
    fn the_precision_of_pure_noise_is_recovered() {
        // r = 3 ± 0.6 at random: there is no structure to explain, so α is near 1/0.36.
        let coin = |user: u32, item: u32| crate::random::word(5, u64::from(user), u64::from(item)) >> 63 == 1;
        let entry = |user, item| Entry { user, item, value: if coin(user, item) { 3.6 } else { 2.4 } };
        let entries = (0..60).flat_map(|user| (0..60).map(move |item| entry(user, item))).collect();
        let by_user = Interactions::from_entries(60, 60, entries).unwrap();
        let by_item = by_user.transpose();
        let params = ExplicitAlsParams { factors: 1, ..ExplicitAlsParams::default() }.check().unwrap();
        let scale = RatingScale::from_ratings(&by_user).unwrap();
        let mut chain = Chain { by_user: &by_user, by_item: &by_item, scale, params: &params, seed: 3, precision: 1.0 };
        let (mut users, mut items) = (Array2::zeros((60, 16)), Array2::zeros((60, 16)));
        let mut sum = 0.0;
        for iteration in 1..=120 {
            chain.draw_iteration(&mut users, &mut items, iteration).unwrap();
            sum += if iteration > 20 { chain.precision / 100.0 } else { 0.0 };
        }
        // 3,600 ratings determine α to 2.4 %; biases and a factor may absorb 1 or 2 % of the noise.
        assert!((sum * 0.36 - 1.0).abs() < 0.1, "{sum}");
    }
}
