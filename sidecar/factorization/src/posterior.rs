//! Served items of a sampled model: the posterior mean of the items, in a basis and a unit in which
//! an ordinary row is a user's posterior mean.
//!
//! Within a few hundred iterations samples hardly rotate against each other as long as ratings
//! determine them, so items may be averaged directly; ADR 16 has the figures. Let h hᵀ be the
//! covariance of users and m their mean, and u = m + hw for a user. Then an item is vᵀh, its bias
//! absorbs vᵀm and the mean bias of users, and w has a standard normal prior. The covariance of an
//! item adds an equal penalty on w per rating: on average the penalty of n ratings is s + τn, where
//! s is the variance of the noise and τ the mean variance of items. Items are scaled so that the
//! sum of λσ n^ν over all ratings equals that of this penalty.

use ndarray::{Array1, Array2, s};

use crate::{
    blocks::times, gram::gram, interactions::Interactions, params::ValidExplicitAlsParams, ratings::RatingScale,
    symmetric_eigen::SymmetricEigen,
};

/// Sums over samples.
pub(crate) struct Posterior {
    samples: f64,
    /// Σ 1/α.
    noise: f64,
    /// Σ of item rows: factors, then bias.
    items: Array2<f64>,
    /// Σ n·v vᵀ, where n is the number of ratings of an item.
    item_moments: Array2<f64>,
    /// Σ of the mean user rows: factors, then bias.
    user_means: Array1<f64>,
    /// Σ of the covariances of users.
    user_covariances: Array2<f64>,
}

impl Posterior {
    /// A posterior without samples.
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

    /// Adds a sample: factors, bias and padding of both sides, and α.
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
        // Rows of users without ratings are 0 and add nothing.
        let moments = gram(users.slice(s![.., ..f]).to_owned().view());
        let covariance = |(i, j)| moments[[i, j]] / count - mean[i] * mean[j];
        self.user_covariances += &Array2::from_shape_fn((f, f), covariance);
        self.user_means += &mean;
    }

    /// Writes the served items: factors, then bias. `None` if the covariance of users has no
    /// eigenbasis.
    pub(crate) fn write_served_items(
        &self,
        (by_user, by_item): (&Interactions, &Interactions),
        scale: RatingScale,
        params: &ValidExplicitAlsParams,
        items: &mut Array2<f32>,
    ) -> Option<()> {
        let f = params.factors();
        let (samples, means) = (self.samples, &self.user_means / self.samples);
        let SymmetricEigen { values, vectors } = SymmetricEigen::decompose(&(&self.user_covariances / samples))?;
        let root = Array2::from_shape_fn((f, f), |(i, j)| vectors[[j, i]] * values[j].max(0.0).sqrt());
        let sampled = &self.items / samples;
        let v = sampled.slice(s![.., ..f]).to_owned();
        let rotated = times(&v, &root);
        let posterior_covariance = &self.item_moments / samples - weighted_moments(by_item, v.mapv(to_f32));
        let mean_moments = weighted_moments(by_item, rotated.mapv(to_f32));
        // Mean variance over factors, weighted by their moments.
        let (mut total_weight, mut sum) = (0.0, 0.0);
        for (axis, weight) in root.columns().into_iter().zip(mean_moments.diag()) {
            let image = posterior_covariance.rows().into_iter().map(|row| in_order(row.iter().zip(axis)));
            let variance = axis.iter().zip(image).map(|(x, y)| x * y).sum::<f64>();
            total_weight += weight;
            sum += weight * variance.max(0.0);
        }
        let ratings = by_user.nnz() as f64;
        let variance = if total_weight > 0.0 { sum / total_weight / ratings } else { 0.0 };
        let (mut target, mut current) = (0.0, 0.0);
        for user in 0..by_user.users() {
            let entries = by_user.row(user).0.len();
            let n = entries as f64;
            target += n * (variance * n + self.noise / samples);
            current += n * if entries > 0 { params.factor_regularization(entries, &scale) } else { 0.0 };
        }
        let unit = (current / target).sqrt();
        for (item, mut out) in items.rows_mut().into_iter().enumerate() {
            out.fill(0.0);
            if by_item.row(item).0.is_empty() {
                continue;
            }
            let bias = sampled[[item, f]] + means[f] + in_order(v.row(item).iter().zip(&means));
            for (to, x) in out.iter_mut().zip(rotated.row(item)) {
                *to = to_f32(unit * x);
            }
            out[f] = to_f32(bias);
        }
        items.iter().all(|x| x.is_finite()).then_some(())
    }
}

/// Σ n·v vᵀ, where n is the number of ratings of an item.
fn weighted_moments(by_item: &Interactions, mut items: Array2<f32>) -> Array2<f64> {
    for (item, mut row) in items.rows_mut().into_iter().enumerate() {
        row *= to_f32((by_item.row(item).0.len() as f64).sqrt());
    }
    gram(items.view())
}

fn in_order<'a>(pairs: impl Iterator<Item = (&'a f64, &'a f64)>) -> f64 {
    pairs.map(|(x, y)| x * y).sum()
}

#[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
fn to_f32(x: f64) -> f32 {
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

    /// Solves a positive definite system by Gauss–Jordan elimination.
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
        // All samples agree on the items, so only the users are uncertain. Their prior is N(m, C)
        // with a full C.
        let entries = (0..400_u32).flat_map(|user| {
            (0..20_u32).filter(move |item| word(1, user.into(), (*item).into()).is_multiple_of(3)).map(move |item| {
                Entry { user, item, value: f32::from(u8::try_from(word(2, user.into(), item.into()) % 5).unwrap()) }
            })
        });
        let by_user = Interactions::from_entries(400, 20, entries.collect()).unwrap();
        let by_item = by_user.transpose();
        let scale = RatingScale::from_ratings(&by_user).unwrap();
        let params = ExplicitAlsParams {
            factors: 2,
            regularization: 0.3,
            regularization_exponent: 0.0,
            ..ExplicitAlsParams::default()
        };
        let params = params.check().unwrap();
        let z = |row: usize, column: u64| normal(9, row as u64, column);
        let users = Array2::from_shape_fn((400, 16), |(i, j)| match j {
            0 => to_f32(0.5 + z(i, 0)),
            1 => to_f32(-0.3 + 0.8 * z(i, 0) + 0.4 * z(i, 1)),
            2 => to_f32(0.2 + 0.3 * z(i, 2)),
            _ => 0.0,
        });
        let mut items =
            Array2::from_shape_fn((20, 16), |(i, j)| if j < 3 { to_f32(z(1000 + i, j as u64)) } else { 0.0 });
        let (fitted, variance) = (items.clone(), 0.7);
        let mut posterior = Posterior::new(20, 2);
        for _ in 0..3 {
            posterior.add((&by_user, &users), (&by_item, &items), 1.0 / variance);
        }
        posterior.write_served_items((&by_user, &by_item), scale, &params, &mut items).unwrap();

        let mean = Array1::from_shape_fn(3, |j| users.column(j).iter().map(|x| f64::from(*x)).sum::<f64>() / 400.0);
        let covariance = |i: usize, j: usize| {
            let of = |u: &f32, j: usize| f64::from(*u) - mean[j];
            users.column(i).iter().zip(users.column(j)).map(|(x, y)| of(x, i) * of(y, j)).sum::<f64>() / 400.0
        };
        let determinant = covariance(0, 0) * covariance(1, 1) - covariance(0, 1).powi(2);
        let prior = [[covariance(1, 1), -covariance(0, 1)], [-covariance(0, 1), covariance(0, 0)]];
        let v = |item: usize, j: usize| f64::from(fitted[[item, j]]);
        let (served, biases) = (items.slice(s![.., ..2]).to_owned(), items.column(2).to_vec());
        let solver = RatingSolver::new(served.view(), &biases, scale, &params).unwrap();
        for user in 0..30 {
            let (indexes, ratings) = by_user.row(user);
            let row = solver.solve(indexes, ratings).unwrap();
            // (Σ wwᵀ + s·diag(C⁻¹, β/s)) x = Σ (r − μ − c − ⟨w, m⟩)w, where x is the deviation from
            // the mean.
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
                let augmented = [v(item, 0), v(item, 1), 1.0];
                let known = f64::from(scale.mean) + v(item, 2) + (0..3).map(|j| augmented[j] * mean[j]).sum::<f64>();
                for i in 0..3 {
                    b[i] += (f64::from(rating) - known) * augmented[i];
                    for j in 0..3 {
                        a[[i, j]] += augmented[i] * augmented[j];
                    }
                }
            }
            let x = solve(a, b);
            for item in 0..20 {
                let augmented = [v(item, 0), v(item, 1), 1.0];
                let dense = v(item, 2) + (0..3).map(|j| augmented[j] * (mean[j] + x[j])).sum::<f64>();
                let product: f64 = (0..2).map(|j| f64::from(served[[item, j]]) * f64::from(row.factors[j])).sum();
                let ours = f64::from(biases[item]) + f64::from(row.bias) + product;
                assert!((ours - dense).abs() < 1e-4, "user {user}, item {item}: {ours} {dense}");
            }
        }
    }
}
