//! Matrix factorization for recommendations: a library by itself, without clock, logging, network or files.
//!
//! # Objective of implicit alternating least squares
//!
//! ```text
//!   L(U, V) = Σ_observed (a·ŷ² − 2b·ŷ)  +  α₀ Σ_all ŷ²  +  λ Σ_rows (n + α₀N)^ν ‖row‖²        ŷ = ⟨u, v⟩
//! ```
//! | symbol | here | meaning |
//! |---|---|---|
//! | `U`, `V` | `user_factors`, `item_factors` | users × factors, items × factors |
//! | `a`, `b` | [`Evidence`] | weight of an observed cell, and weight times target |
//! | `α₀` | `unobserved_weight` | weight of every cell, observed or not |
//! | `λ`, `ν` | `regularization`, `regularization_exponent` | strength, and how it grows with a row's evidence |
//! | `n`, `N` | | entries of the row, and length of the other side (items for a user, users for an item) |
//!
//! Rendle, Krichene, Zhang and Koren 2022 ("Revisiting the performance of iALS on item recommendation benchmarks", RecSys)
//! is a = b = 1; Hu, Koren and Volinsky 2008 ("Collaborative filtering for implicit feedback datasets", ICDM) and the package
//! `implicit` are α₀ = 1, ν = 0, a = c − 1, b = c for a confidence c ([`ValueMeaning::Confidence`]).
//!
//! A weight w > 0 is a = b = w. A weight below 0 is a dislike: a = |w|, b = 0; so is a bare 0, with a = 1. Every entry counts
//! in n.
//!
//! With a degree exponent η a weight is multiplied by its share (1 + d/10)^−η (1 + e/10)^−η over the mean share of all entries, d and
//! e being how many likes its user and its item have: what busy users do, and who chooses what all choose, says less. `n` stays a
//! number of entries. A user who is folded in has the likes of the history that comes. With a degree return ρ
//! popularity counts again in lists: items are served as v (1 + e/10)^ηρ, and wherever v stands above that is taken out.
//!
//! Constant terms are left out, so L may be negative. With one side fixed, each row of the other minimizes a quadratic;
//! [`RowSolver`] solves its normal equations exactly:
//!
//! ```text
//!   (α₀ VᵀV + Σ a·v vᵀ + λ (n + α₀N)^ν I) u = Σ b·v
//! ```
//!
//! A sweep solves all items, then all users, starting from random users. Before each half both sides are turned into the
//! eigenvectors of the fixed side's Gram matrix, which changes no product: there the matrix above is diagonal but for the row's own
//! entries. While training, a row takes a few steps of conjugate gradients from where it stood (Takács, Pilászy and Tikk 2011,
//! "Applications of the conjugate gradient method for implicit feedback collaborative filtering", RecSys), each linear in the
//! factors; or it is solved exactly ([`AlsSolver::Cholesky`], the reference). The users of the last sweep are always exact, so a
//! stored user row is what [`RowSolver`] gives for that user's items, bit for bit: folding in a known user changes nothing.
//!
//! The objective after a sweep is what the rows of its last half come to, plus the regularization of the items, and costs nothing.
//! Steps in single precision know it to about 1e-5; after exact rows it is good to 1e-7.
//!
//! # Objective of explicit alternating least squares
//!
//! ```text
//!   L = Σ_observed (r − r̂)²  +  λσ Σ_rows n^ν ‖row‖²  +  β (Σ b² + Σ c²)        r̂ = μ + b + c + ⟨u, v⟩
//! ```
//! | symbol | here | meaning |
//! |---|---|---|
//! | `μ`, `σ` | [`RatingScale`] | mean and standard deviation of the ratings |
//! | `b`, `c` | [`model::RatingBiases`] | biases of the user and of the item |
//! | `λ`, `ν` | as above | relative to σ: the ratings' unit does not matter |
//! | `β` | [`biases::BIAS_SHRINKAGE`] | as many ratings as pull a bias to 0 |
//!
//! This is Koren, Bell and Volinsky 2009 ("Matrix factorization techniques for recommender systems", Computer), with the
//! factors' regularization of Zhou et al. 2008 ("Large-scale parallel collaborative filtering for the Netflix prize"). A row's
//! factors and bias are solved together: to the fixed row v a 1 is added, and [`RatingSolver`] solves
//!
//! ```text
//!   (Σ (v,1) (v,1)ᵀ + diag(λσ n^ν, …, β)) (u, b) = Σ (r − μ − c) (v,1)
//! ```
//!
//! While training it takes steps, as above; the users of the last sweep are exact, as above.
//!
//! With samples the sweeps are only the start of a Gibbs sampler (`gibbs`), which also learns how strong noise and priors are. The
//! items that are served are the mean of their samples, in a basis and a unit in which the row above is what follows for a user
//! (`posterior`): so a model of samples is a model like any other, and its users are exact rows, too.
//!
//! # Truncated singular value decomposition
//!
//! The matrix of weights (dislikes and what was not observed are 0), or of what averages leave of ratings, is A ≈ UΣVᵀ with as
//! many singular values as factors; U are the user factors and VΣ the item factors. A user's row is a projection: u = Σ⁻²(VΣ)ᵀa.
//! Sweeps work in f32: squared values are good to about 1e-7 of the greatest, and those below 1e-12 of it count as 0.
//!
//! With a degree exponent η weights C are decomposed as D⁻ᵑ C D⁻ᵑ ≈ UΣVᵀ, with the degrees of users and of items on the
//! diagonals D: how many likes they have, and 10 more. Factors stand for C again: DᵑU of users and DᵑVΣ of items. A user's own
//! degree cancels: u = Σ⁻²(DᵑVΣ)ᵀ D⁻²ᵑ c, with D of items, so that folding in needs how many users chose each item.
//!
//! # Bayesian personalized ranking
//!
//! ```text
//!   L = Σ_user Σ_like w  mean_other ( −ln σ(⟨u, v_like − v_other⟩) + λ/2 (‖u‖² + ‖v_like‖² + ‖v_other‖²) )
//! ```
//! over likes of weight w > 0 and all items that the user does not like; σ(x) = 1 / (1 + e⁻ˣ). A sweep takes as many steps as there are
//! entries, each down the slope of one drawn term by the learning rate γ. Then the user factors are computed from their likes alone,
//! with the items as they are, by steps of the same kind (`pair_solver`): a stored user row is what folding in gives, bit for bit.
//!
//! # Determinism
//! Equal inputs and seed give equal bytes on any number of threads: rows are independent, sums over rows run over chunks
//! of fixed length and are added in order, random numbers are a function of (seed, row, column). They are also equal with
//! any vector instructions: kernels have fixed lanes and fused multiply-adds, and `simd` only chooses what they compile to.
//!
//! # Map
//! [`interactions`] what was observed · [`weighting`] what it weighs · [`ratings`] their scale · [`params`] checked parameters, [`usual`] a λ that nobody has looked for · [`als`], [`explicit_als`],
//! [`mod@svd`], [`bpr`] the sweeps, [`start`] from an earlier model; inside, `gibbs`, `rating_draw` and `posterior` for samples · [`degrees`] what a weight counts · [`row_solver`], [`rating_solver`] one row, exactly; inside, `short_rows` where entries are few, and `descent` by steps, `projection` for SVD, `pair_solver` and `pairs` for BPR · [`scorer`] from a taste to items · [`explanation`] which of a history made a score · [`mod@gram`] what rows share · [`mod@objective`] its value for any factors · [`model`] the result · [`mod@top_k`] best
//! items · [`mod@popularity`], [`biases`] the baselines · [`split`] what is kept for measuring · [`ranking`] recall@k and NDCG@k · [`attributes`] items that nobody has met ·
//! [`bootstrap`] intervals · [`memory`] forecast · [`random`] numbers by counter. Inside: `aligned` (where matrices begin), `tile` and `cholesky` (f64 register tiles), `spectrum` (eigenvectors), `turns` and `rotate`, `subspace` (singular values) and `blocks` (products of sparse matrices), `lanes` (f32 inner
//! products), `simd` (the one door to wide instructions).
#![allow(clippy::indexing_slicing)] // Shapes are checked where matrices are made; kernels index below those bounds.
#![allow(clippy::needless_pass_by_value, clippy::trivially_copy_pass_by_ref)] // Views and small records are handles.
#![allow(clippy::inline_always)] // Kernels are compiled anew for each instruction set; see `simd`.
#![allow(clippy::many_single_char_names, clippy::similar_names)] // Symbols are the papers'.

mod aligned;
pub mod als;
pub mod attributes;
pub mod biases;
mod blocks;
pub mod bootstrap;
pub mod bpr;
mod cholesky;
pub mod degrees;
mod descent;
pub mod explanation;
pub mod explicit_als;
mod gibbs;
pub mod gram;
pub mod interactions;
mod lanes;
pub mod memory;
pub mod model;
pub mod objective;
mod pair_solver;
mod pairs;
pub mod params;
pub mod popularity;
mod posterior;
mod projection;
pub mod random;
pub mod ranking;
mod rating_draw;
pub mod rating_solver;
pub mod ratings;
mod rotate;
pub mod row_solver;
pub mod scorer;
mod short_rows;
mod simd;
mod spectrum;
pub mod split;
pub mod start;
mod subspace;
pub mod svd;
mod tile;
pub mod top_k;
mod turns;
pub mod usual;
pub mod weighting;

pub use als::{FitError, Side, SweepReport, fit_als, fit_als_from};
pub use attributes::AttributeMap;
pub use biases::Biases;
pub use bootstrap::{Lift, bootstrap_lift, bootstrap_reduction};
pub use bpr::fit_bpr;
pub use degrees::Degrees;
pub use explanation::Explanation;
pub use explicit_als::{fit_explicit_als, fit_explicit_als_from};
pub use gram::gram;
pub use interactions::{Entry, Evidence, Interactions, InteractionsError};
pub use memory::memory_forecast_bytes;
pub use model::{Model, RatingBiases};
pub use objective::objective;
pub use params::{
    AlsParams, AlsSolver, BprParams, ExplicitAlsParams, ParamsError, SvdParams, ValidAlsParams, ValidBprParams,
    ValidExplicitAlsParams, ValidParams, ValidSvdParams, ValueMeaning,
};
pub use popularity::popularity;
pub use ranking::{RankingMetrics, UserScores, evaluate_ranking, gini, ndcg_at_k, recall_at_k, rmse};
pub use rating_solver::{RatingRow, RatingSolver};
pub use ratings::RatingScale;
pub use row_solver::{RowSolver, SolveError};
pub use scorer::{Scorer, Taste};
pub use start::Earlier;
pub use svd::fit_svd;
pub use top_k::{Scored, similar_items, top_k, top_k_each};
pub use usual::usual_regularization;
pub use weighting::{Weigher, Weighting};
