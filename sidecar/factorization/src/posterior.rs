//! What is served of samples: the mean of the items, in a basis and a unit in which an ordinary row is a user's posterior mean.
//!
//! Samples hardly turn against each other within a few hundred sweeps, as long as the ratings hold them, so items may be averaged
//! as they are; ADR 16 has the figures. For a user, with h hᵀ the covariance of users and m their mean, u = m + hw: so an item is
//! vᵀh and its bias takes up vᵀm and the users' mean bias, and w has a standard normal prior. An item is uncertain by its own
//! covariance, which pulls w to 0 by as much again for every rating: on average the penalty of n ratings is s + τn, with the
//! noise's variance s and the items' mean variance τ. Items are scaled so that λσ n^ν comes to the same over all ratings.

use ndarray::{Array1, Array2, s};

use crate::{
    blocks::times, gram::gram, interactions::Interactions, params::ValidExplicitAlsParams, ratings::RatingScale,
    spectrum::Spectrum,
};

/// Sums over samples.
pub(crate) struct Posterior {
    samples: f64,
    /// Σ 1/α.
    noise: f64,
    /// Σ of items: factors, then bias.
    items: Array2<f64>,
    /// Σ n·v vᵀ, with n ratings of an item.
    item_moments: Array2<f64>,
    /// Σ of users' means: factors, then bias.
    user_means: Array1<f64>,
    /// Σ of users' covariances.
    user_covariances: Array2<f64>,
}

impl Posterior {
    /// Of no samples.
    pub(crate) fn new(items: usize, factors: usize) -> Self {
        let square = || Array2::zeros((factors, factors));
        Self {
            samples: 0.0,
            noise: 0.0,
            items: Array2::zeros((items, factors + 1)),
            item_moments: square(),
            user_means: Array1::zeros(factors + 1),
            user_covariances: square(),
        }
    }

    /// Adds a sample: both sides' factors, bias and padding, and α.
    pub(crate) fn add(
        &mut self,
        (by_user, users): (&Interactions, &Array2<f32>),
        (by_item, items): (&Interactions, &Array2<f32>),
        precision: f64,
    ) {
        let f = self.user_covariances.nrows();
        self.samples += 1.0;
        self.noise += 1.0 / precision;
        for (sum, item) in self.items.iter_mut().zip(items.slice(s![.., ..=f])) {
            *sum += f64::from(*item);
        }
        self.item_moments += &weighted_moments(by_item, items.slice(s![.., ..f]).to_owned());
        let known: Vec<usize> = (0..by_user.users()).filter(|user| !by_user.row(*user).0.is_empty()).collect();
        let count = known.len() as f64;
        let mean =
            Array1::from_shape_fn(f + 1, |i| known.iter().map(|u| f64::from(users[[*u, i]])).sum::<f64>() / count);
        // Users without ratings are 0, and add nothing.
        let moments = gram(users.slice(s![.., ..f]).to_owned().view());
        let covariance = |(i, j)| moments[[i, j]] / count - mean[i] * mean[j];
        self.user_covariances += &Array2::from_shape_fn((f, f), covariance);
        self.user_means += &mean;
    }

    /// Writes the items that are served: factors, then bias. `None` if the users' covariance has no eigenbasis.
    pub(crate) fn serve(
        &self,
        (by_user, by_item): (&Interactions, &Interactions),
        scale: RatingScale,
        params: &ValidExplicitAlsParams,
        items: &mut Array2<f32>,
    ) -> Option<()> {
        let f = params.factors();
        let (samples, means) = (self.samples, &self.user_means / self.samples);
        let Spectrum { values, vectors } = Spectrum::of(&(&self.user_covariances / samples))?;
        let root = Array2::from_shape_fn((f, f), |(i, j)| vectors[[j, i]] * values[j].max(0.0).sqrt());
        let sampled = &self.items / samples;
        let v = sampled.slice(s![.., ..f]).to_owned();
        let turned = times(&v, &root);
        let uncertain = &self.item_moments / samples - weighted_moments(by_item, v.mapv(narrow));
        let certain = weighted_moments(by_item, turned.mapv(narrow));
        // The mean over factors, by how much each matters.
        let (mut matters, mut sum) = (0.0, 0.0);
        for (axis, weight) in root.columns().into_iter().zip(certain.diag()) {
            let image = uncertain.rows().into_iter().map(|row| in_order(row.iter().zip(axis)));
            let variance = axis.iter().zip(image).map(|(x, y)| x * y).sum::<f64>();
            matters += weight;
            sum += weight * variance.max(0.0);
        }
        let ratings = by_user.nnz() as f64;
        let variance = if matters > 0.0 { sum / matters / ratings } else { 0.0 };
        let (mut wanted, mut given) = (0.0, 0.0);
        for user in 0..by_user.users() {
            let entries = by_user.row(user).0.len();
            let n = entries as f64;
            wanted += n * variance.mul_add(n, self.noise / samples);
            given += n * if entries > 0 { params.factor_regularization(entries, &scale) } else { 0.0 };
        }
        let unit = (given / wanted).sqrt();
        for (item, mut out) in items.rows_mut().into_iter().enumerate() {
            out.fill(0.0);
            if by_item.row(item).0.is_empty() {
                continue;
            }
            let bias = sampled[[item, f]] + means[f] + in_order(v.row(item).iter().zip(&means));
            for (to, x) in out.iter_mut().zip(turned.row(item)) {
                *to = narrow(unit * x);
            }
            out[f] = narrow(bias);
        }
        items.iter().all(|x| x.is_finite()).then_some(())
    }
}

/// Σ n·v vᵀ, with n ratings of an item.
fn weighted_moments(by_item: &Interactions, mut items: Array2<f32>) -> Array2<f64> {
    for (item, mut row) in items.rows_mut().into_iter().enumerate() {
        row *= narrow((by_item.row(item).0.len() as f64).sqrt());
    }
    gram(items.view())
}

fn in_order<'a>(pairs: impl Iterator<Item = (&'a f64, &'a f64)>) -> f64 {
    pairs.map(|(x, y)| x * y).sum()
}

#[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        biases::BIAS_SHRINKAGE,
        interactions::Entry,
        params::ExplicitAlsParams,
        random::{normal, word},
        rating_solver::RatingSolver,
    };

    /// Solves by elimination; the matrix is positive definite.
    fn solve(mut a: Array2<f64>, mut b: Array1<f64>) -> Array1<f64> {
        let n = b.len();
        for i in 0..n {
            for row in (0..n).filter(|row| *row != i) {
                let by = a[[row, i]] / a[[i, i]];
                for column in 0..n {
                    a[[row, column]] -= by * a[[i, column]];
                }
                b[row] -= by * b[i];
            }
        }
        Array1::from_shape_fn(n, |i| b[i] / a[[i, i]])
    }

    #[test]
    fn an_ordinary_row_is_the_posterior_mean_under_the_users_own_prior() {
        // Samples that agree on the items: nothing is uncertain but the user, whose prior is N(m, C) with a full C.
        let entries = (0..400_u32).flat_map(|user| {
            (0..20_u32).filter(move |item| word(1, user.into(), (*item).into()).is_multiple_of(3)).map(move |item| {
                Entry { user, item, value: f32::from(u8::try_from(word(2, user.into(), item.into()) % 5).unwrap()) }
            })
        });
        let by_user = Interactions::from_entries(400, 20, entries.collect()).unwrap();
        let by_item = by_user.transpose();
        let scale = RatingScale::of(&by_user).unwrap();
        let params = ExplicitAlsParams {
            factors: 2,
            regularization: 0.3,
            regularization_exponent: 0.0,
            ..ExplicitAlsParams::default()
        };
        let params = params.check().unwrap();
        let z = |row: usize, column: u64| normal(9, row as u64, column);
        let users = Array2::from_shape_fn((400, 16), |(i, j)| match j {
            0 => narrow(0.5 + z(i, 0)),
            1 => narrow(-0.3 + 0.8 * z(i, 0) + 0.4 * z(i, 1)),
            2 => narrow(0.2 + 0.3 * z(i, 2)),
            _ => 0.0,
        });
        let mut items =
            Array2::from_shape_fn((20, 16), |(i, j)| if j < 3 { narrow(z(1000 + i, j as u64)) } else { 0.0 });
        let (given, variance) = (items.clone(), 0.7);
        let mut posterior = Posterior::new(20, 2);
        for _ in 0..3 {
            posterior.add((&by_user, &users), (&by_item, &items), 1.0 / variance);
        }
        posterior.serve((&by_user, &by_item), scale, &params, &mut items).unwrap();

        let mean = Array1::from_shape_fn(3, |j| users.column(j).iter().map(|x| f64::from(*x)).sum::<f64>() / 400.0);
        let covariance = |i: usize, j: usize| {
            let of = |u: &f32, j: usize| f64::from(*u) - mean[j];
            users.column(i).iter().zip(users.column(j)).map(|(x, y)| of(x, i) * of(y, j)).sum::<f64>() / 400.0
        };
        let determinant = covariance(0, 0) * covariance(1, 1) - covariance(0, 1).powi(2);
        let prior = [[covariance(1, 1), -covariance(0, 1)], [-covariance(0, 1), covariance(0, 0)]];
        let v = |item: usize, j: usize| f64::from(given[[item, j]]);
        let (served, biases) = (items.slice(s![.., ..2]).to_owned(), items.column(2).to_vec());
        let solver = RatingSolver::new(served.view(), &biases, scale, &params).unwrap();
        for user in 0..30 {
            let (indexes, ratings) = by_user.row(user);
            let row = solver.solve(indexes, ratings).unwrap();
            // (Σ wwᵀ + s·diag(C⁻¹, β/s)) x = Σ (r − μ − c − ⟨w, m⟩)w, for what x is beyond the mean.
            let mut a = Array2::zeros((3, 3));
            let mut b = Array1::zeros(3);
            for (i, line) in prior.iter().enumerate() {
                for (j, entry) in line.iter().enumerate() {
                    a[[i, j]] = variance * entry / determinant;
                }
            }
            a[[2, 2]] = BIAS_SHRINKAGE;
            for (&item, &rating) in indexes.iter().zip(ratings) {
                let item = item as usize;
                let wide = [v(item, 0), v(item, 1), 1.0];
                let known = f64::from(scale.mean) + v(item, 2) + (0..3).map(|j| wide[j] * mean[j]).sum::<f64>();
                for i in 0..3 {
                    b[i] += (f64::from(rating) - known) * wide[i];
                    for j in 0..3 {
                        a[[i, j]] += wide[i] * wide[j];
                    }
                }
            }
            let x = solve(a, b);
            for item in 0..20 {
                let wide = [v(item, 0), v(item, 1), 1.0];
                let dense = v(item, 2) + (0..3).map(|j| wide[j] * (mean[j] + x[j])).sum::<f64>();
                let product: f64 = (0..2).map(|j| f64::from(served[[item, j]]) * f64::from(row.factors[j])).sum();
                let ours = f64::from(biases[item]) + f64::from(row.bias) + product;
                assert!((ours - dense).abs() < 1e-4, "user {user}, item {item}: {ours} {dense}");
            }
        }
    }
}
