//! Matrix factorization for recommendations: a self-contained library without clock, logging,
//! network or files.
//!
//! # Objective of implicit alternating least squares
//!
//! ```text
//!   L(U, V) = Σ_observed (a·ŷ² − 2b·ŷ)  +  α₀ Σ_all ŷ²  +  λ Σ_rows (n + α₀N)^ν ‖row‖²
//!   ŷ = ⟨u, v⟩
//! ```
//! | symbol | name | meaning |
//! |---|---|---|
//! | `U`, `V` | `user_factors`, `item_factors` | users × factors, items × factors |
//! | `a`, `b` | `quadratic`, `linear` of [`CellWeights`] | weight of an observed cell, and weight times target |
//! | `α₀` | `unobserved_weight` | weight of every cell, observed or not |
//! | `λ`, `ν` | `regularization`, `regularization_exponent` | strength, and how it grows with a row's total weight |
//! | `n`, `N` | | entries of the row, and length of the other side (items for a user, users for an item) |
//!
//! Rendle, Krichene, Zhang and Koren 2022 ("Revisiting the performance of iALS on item
//! recommendation benchmarks", RecSys) is a = b = 1. Hu, Koren and Volinsky 2008 ("Collaborative
//! filtering for implicit feedback datasets", ICDM) and the package `implicit` are α₀ = 1, ν = 0, a
//! = c − 1, b = c for a confidence c ([`ValueMeaning::Confidence`]).
//!
//! A weight w > 0 is a = b = w. A weight below 0 is a dislike: a = |w|, b = 0; so is a bare 0, with
//! a = 1. Every entry counts in n.
//!
//! With a degree exponent η a weight is multiplied by its degree weight (1 + d/10)^−η (1 + e/10)^−η
//! over the mean degree weight of all entries, where d and e are the numbers of likes of its user
//! and its item. This down-weights active users and popular items, which are less informative. `n`
//! stays the number of entries. In a fold-in, d counts the likes of the given history. With a
//! popularity boost ρ items are served as v (1 + e/10)^ηρ; wherever a formula above has v, the
//! boost is divided out again.
//!
//! Constant terms are omitted, so L may be negative. With one side fixed, each row of the other
//! minimizes a quadratic function; [`RowSolver`] solves its normal equations exactly:
//!
//! ```text
//!   (α₀ VᵀV + Σ a·v vᵀ + λ (n + α₀N)^ν I) u = Σ b·v
//! ```
//!
//! An iteration solves all items, then all users, starting from random users. Before each half both
//! sides are rotated into the eigenbasis of the fixed side's Gram matrix, which changes no inner
//! product; the matrix above is then diagonal except for the terms of the row's own entries. While
//! training, a row takes a few conjugate gradient steps from its current value (Takács, Pilászy and
//! Tikk 2011, "Applications of the conjugate gradient method for implicit feedback collaborative
//! filtering", RecSys), each linear in the factors; or it is solved exactly
//! ([`AlsSolver::Cholesky`], the reference). The users of the last iteration are always exact, so a
//! stored user row equals the result of [`RowSolver`] for that user's items, bit for bit: a fold-in
//! of a known user changes nothing.
//!
//! The objective after an iteration is the sum over the rows of its last half, plus the
//! regularization of the items; its cost is negligible. Steps in single precision compute it to
//! about 1e-5; exact rows to 1e-7.
//!
//! # Objective of explicit alternating least squares
//!
//! ```text
//!   L = Σ_observed (r − r̂)²  +  λσ Σ_rows n^ν ‖row‖²  +  β (Σ b² + Σ c²)
//!   r̂ = μ + b + c + ⟨u, v⟩
//! ```
//! | symbol | name | meaning |
//! |---|---|---|
//! | `μ`, `σ` | [`RatingScale`] | mean and standard deviation of the ratings |
//! | `b`, `c` | [`model::RatingBiases`] | biases of the user and of the item |
//! | `λ`, `ν` | as above | relative to σ: the ratings' unit does not matter |
//! | `β` | [`biases::BIAS_SHRINKAGE`] | shrinkage of a bias, equivalent to this many ratings with no bias |
//!
//! This is Koren, Bell and Volinsky 2009 ("Matrix factorization techniques for recommender
//! systems", Computer), with the regularization of factors of Zhou et al. 2008 ("Large-scale
//! parallel collaborative filtering for the Netflix prize"). Factors and bias of a row are solved
//! together: the fixed row v is augmented with a 1, and [`RatingSolver`] solves
//! ```text
//!   (Σ (v,1) (v,1)ᵀ + diag(λσ n^ν, …, β)) (u, b) = Σ (r − μ − c) (v,1)
//! ```
//!
//! Conjugate gradient steps while training and exact users in the last iteration are as above.
//!
//! With samples the iterations only initialize a Gibbs sampler (`gibbs`), which also learns the
//! precision of the noise and of the priors. Served items are the mean of their samples, in a basis
//! and a unit in which the row above is the posterior mean of a user (`posterior`). So a sampled
//! model is a model like any other, and its users are exact rows, too.
//!
//! # Truncated singular value decomposition
//!
//! The matrix is A ≈ UΣVᵀ with one singular value per factor. It holds weights (dislikes and
//! unobserved cells are 0) or residuals of ratings after the bias baseline. U are the user factors
//! and VΣ the item factors. A user's row is a projection: u = Σ⁻²(VΣ)ᵀa. Iterations are in f32:
//! squared singular values are accurate to about 1e-7 of the maximum, and those below 1e-12 of it
//! count as 0.
//!
//! With a degree exponent η weights C are decomposed as D⁻ᵑ C D⁻ᵑ ≈ UΣVᵀ, where the diagonal
//! matrices D hold the degrees of users and of items: the number of likes plus 10. Factors
//! approximate C again: DᵑU for users and DᵑVΣ for items. A user's own degree cancels: u =
//! Σ⁻²(DᵑVΣ)ᵀ D⁻²ᵑ c, with D of items, so fold-in needs the number of users who chose each item.
//! Users may have an exponent η′ of their own, which only changes the decomposition.
//!
//! # The two-hop term
//! Few factors cannot represent what items share directly. The term adds it: with the matrix R̃ =
//! D⁻ᵑ′ C D⁻ᵑ, P = R̃ᵀR̃, and served item factors G, whose span D⁻ᵑG has the orthonormal basis Q, a
//! history x has the scores
//!
//! ```text
//!   s = G u + c/λ₁ Dᵑ E D⁻ᵑ x,   E = P − Q QᵀPQ Qᵀ
//! ```
//! where λ₁ is the largest eigenvalue of QᵀPQ: what the factors represent of P already is
//! subtracted. c = 0 is the model of the factors alone. The second part of E changes the query
//! only:
//!
//! ```text
//!   s = G (u − c/λ₁ K Gᵀ D⁻²ᵑ x) + c/λ₁ Dᵑ P D⁻ᵑ x
//!   K = S⁻¹TS⁻¹,   S = BᵀB,   T = (R̃B)ᵀ(R̃B),   B = D⁻ᵑG
//! ```
//! In a decomposition of R̃, G = DᵑVΣ, so that QQᵀPQQᵀ is its part VΣ²Vᵀ of P and K is the
//! identity. In ALS, η of items is that of its degree weights, and K is part of the model. P has
//! nothing of an item without users, so E is 0 for it: its score is its product with u.
//!
//! P is not computed. For unobserved 0, d of users and items, and the entries w of C, its part of
//! the score of an item j is at least 0 and two sparse products:
//!
//! ```text
//!   s_j = c/λ₁ m_j Σ_v w_vj y_v,   y_v = (d_v + 10)^−2η′ Σ_i w_vi m_i x_i (d_i + 10)^−2η
//! ```
//! over users v and the history's items i. An item with fewer users than a minimum is left out (m =
//! 0), so that no list repeats the choices of a few users. Of an item with very many users a sample
//! is walked, and m is the number of its users over that of the sample; otherwise m is 1.
//!
//! The first product of two hops is item-based collaborative filtering (Sarwar, Karypis, Konstan
//! and Riedl 2001, "Item-based collaborative filtering recommendation algorithms", WWW; Deshpande
//! and Karypis 2004, "Item-based top-N recommendation algorithms", TOIS). Its sum with an ideal
//! low-pass filter of the same matrix is GF-CF (Shen et al. 2021, "How powerful is graph
//! convolution for recommendation?", CIKM), which has no subtraction.
//!
//! # Bayesian personalized ranking
//!
//! ```text
//!   L = Σ_user Σ_positive w  mean_negative ( −ln σ(⟨u, v_positive − v_negative⟩)
//!                                            + λ/2 (‖u‖² + ‖v_positive‖² + ‖v_negative‖²) )
//! ```
//! over positives of weight w > 0 and all items that the user does not like; σ(x) = 1 / (1 + e⁻ˣ).
//! An iteration takes one step per entry, each down the gradient of one sampled
//! term with the learning rate γ. Then the user factors are computed from their likes alone, with
//! the items fixed, by steps of the same kind (`pair_solver`): a stored user row equals its
//! fold-in, bit for bit.
//!
//! # Determinism
//! Equal inputs and seed give equal bytes on any number of threads: rows are independent, sums over
//! rows run over chunks of fixed length and are added in order, random numbers are a function of
//! (seed, row, column). The bytes are also equal on any instruction set: kernels have a fixed
//! number of lanes and fused multiply-adds, and `simd` only selects the instructions they compile
//! to.
//!
//! # Modules
//! - Data: [`interactions`] (sparse matrix), [`weighting`] (transformed weights), [`degrees`]
//!   (degree weights), [`ratings`] (scale), [`split`] (held-out set), [`random`] (counter-based
//!   random numbers), internal: `normalization` (weights divided by powers of degrees).
//! - Parameters: [`params`], [`mod@default_regularization`].
//! - Fits: [`mod@fit`] (the interface of all algorithms), [`warm_start`], [`memory`] (forecast);
//!   internal: `algorithm` (the list of algorithms, with a file for each), `gibbs`, `rating_draw`
//!   and `posterior` for samples, `factor_rows` and `eigenbasis` (factor matrices).
//! - One row: [`row_solver`] and [`rating_solver`] (exact); internal: `conjugate_gradient` (steps),
//!   `history_solver` (implicit ALS), `projection` (SVD), `pair_solver` and `pairs` (Bayesian
//!   personalized ranking), `fold_in` (their interface).
//! - Models: [`model`], [`scorer`] (items for a user vector), [`mod@top_k`] (best items),
//!   [`two_hop`] (the two-hop term; internal: `co_occurrence_weight` chooses its weight by the lists
//!   of `weighted_lists`),
//!   [`explanation`] (contributions to a score; internal:
//!   `influence`), [`attributes`] (cold-start items); internal: `recommend` (lists of a model in
//!   memory).
//! - Evaluation: [`ranking`] (metrics), [`mod@popularity`] and [`biases`] (baselines),
//!   [`bootstrap`] (confidence intervals), [`paired`] (comparison of parameters),
//!   [`mod@objective`].
//! - Linear algebra: [`mod@gram`]; internal: `aligned` (aligned matrices), `tile` and `cholesky`
//!   (f64 register tiles), `symmetric_eigen` (eigenvectors), `givens` and `rotate` (rotations),
//!   `subspace` (singular values), `blocks` (products of sparse matrices), `lanes` (f32 inner
//!   products), `simd` (dispatch to vector instructions).
// Shapes are checked at construction; kernels index below those bounds.
#![allow(clippy::indexing_slicing)]
// Views and small structs are passed by value.
#![allow(clippy::needless_pass_by_value, clippy::trivially_copy_pass_by_ref)]
#![allow(clippy::inline_always)] // Kernels are compiled once per instruction set; see `simd`.
#![allow(clippy::many_single_char_names, clippy::similar_names)] // Symbols follow the papers.

mod algorithm;
mod aligned;
pub mod attributes;
pub mod biases;
mod blocks;
pub mod bootstrap;
mod cholesky;
mod co_occurrence_weight;
mod conjugate_gradient;
pub mod default_regularization;
pub mod degrees;
mod eigenbasis;
pub mod explanation;
mod factor_rows;
pub mod fit;
mod fit_error;
mod fold_in;
mod gibbs;
mod givens;
pub mod gram;
pub mod gram_view;
mod history_solver;
mod influence;
pub mod interactions;
mod lanes;
pub mod memory;
pub mod model;
mod normalization;
pub mod objective;
mod pair_solver;
pub mod paired;
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
mod recommend;
mod rotate;
pub mod row_solver;
pub mod scorer;
mod simd;
pub mod split;
mod subspace;
mod symmetric_eigen;
mod tile;
pub mod top_k;
pub mod two_hop;
mod two_hop_params;
pub mod warm_start;
mod weighted_lists;
pub mod weighting;

pub use attributes::AttributeMap;
pub use biases::Biases;
pub use bootstrap::{LIFT_MAX, Lift, bootstrap_lift, bootstrap_reduction};
pub use default_regularization::{default_regularization, mean_weight};
pub use degrees::Degrees;
pub use explanation::Explanation;
pub use fit::{Fit, IterationReport, Progress};
pub use fit_error::{FitError, Side};
pub use fold_in::UserVector;
pub use gram::gram;
pub use gram_view::{GramForm, GramView};
pub use interactions::{CellWeights, Entry, Interactions, InteractionsError};
pub use memory::{AttributeSize, FitSize};
pub use model::{Model, RatingBiases};
pub use objective::objective;
pub use paired::PairedDifference;
pub use params::{
    AlsParams, AlsSolver, BprParams, ExplicitAlsParams, ParamsError, SvdParams, ValidAlsParams, ValidBprParams,
    ValidExplicitAlsParams, ValidParams, ValidSvdParams, ValueMeaning,
};
pub use popularity::{popularity, recent_popularity};
pub use ranking::{RankingMetrics, UserScores, evaluate_ranking, gini, ndcg_at_k, recall_at_k, rmse};
pub use rating_solver::{RatingRow, RatingSolver};
pub use ratings::RatingScale;
pub use recommend::SearchableModel;
pub use row_solver::{RowSolver, SolveError};
pub use scorer::{Among, Part, Scorer};
pub use top_k::{
    Catalogue, CodeParts, Codes, CodesChecked, CodesError, ItemBits, ItemCodes, KeptItems, Places, ScanCounts, Scored,
};
pub use two_hop::{OwnedRows, SparseRows, TwoHop, TwoHopIndex, TwoHopModel, TwoHopScales};
pub use two_hop_params::TwoHopParams;
pub use warm_start::WarmStart;
pub use weighting::{FittedWeighting, Weighting};
