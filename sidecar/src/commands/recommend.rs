//! `recmesh-sidecar recommend`: a model file's answer on the terminal.

use anyhow::{Result, ensure};
use model_snapshot::Snapshot;

use crate::{
    answer::{Query, answer},
    api::{
        render::{Style, recommendations},
        request_id::RequestId,
    },
    args::RecommendArgs,
    explain::Because,
    limits::EXPLAINED_ITEMS_MAX,
    model::ServingModel,
};

/// Prints items for a user or a history.
///
/// # Errors
/// A model file that cannot serve, or neither user nor history.
pub fn run(args: RecommendArgs) -> Result<()> {
    ensure!(args.user.is_some() || !args.history.is_empty(), "give --user, or --history, or both");
    ensure!(
        !args.explain || args.n <= EXPLAINED_ITEMS_MAX,
        "-n {}: --explain is for at most {EXPLAINED_ITEMS_MAX} items",
        args.n
    );
    ensure!(
        args.ratings.is_empty() || args.ratings.len() == args.history.len(),
        "{} ratings for {} items of --history; give one rating an item, or none",
        args.ratings.len(),
        args.history.len()
    );
    let snapshot = Snapshot::open(&args.model)?;
    let model = ServingModel::new(snapshot.digest(), snapshot)?;
    if let Some(user) = &args.user
        && model.snapshot.user_index(user).is_none()
    {
        eprintln!("the model does not know this user: the list is what most users chose");
    }
    let ratings = args.ratings.into_iter().map(Some).chain(std::iter::repeat(None));
    let history = args.history.into_iter().zip(ratings).collect();
    let query = Query { user: args.user, n: args.n, history, explain: args.explain, ..Query::default() };
    let items = answer(&model, &query)?;
    if args.json {
        let body = recommendations(&model, &items, Style::Json, &RequestId::fresh());
        println!("{}", String::from_utf8_lossy(&body));
        return Ok(());
    }
    println!("{:<24} {:>9}  {:<8} TITLE", "ITEM", "SCORE", "SOURCE");
    for item in items {
        let id = model.snapshot.item_id(item.row).unwrap_or("?");
        let title = model.snapshot.title(item.row).unwrap_or("");
        println!("{id:<24} {:>9.4}  {:<8} {title}", item.score, item.source);
        if let Some(because) = item.because {
            println!("{}", reasons(&model, &because));
        }
    }
    Ok(())
}

/// The parts of a score, on a line.
fn reasons(model: &ServingModel, because: &Because) -> String {
    let name = |row: u32| model.snapshot.title(row).or_else(|| model.snapshot.item_id(row)).unwrap_or("?");
    let items = because.items.iter().map(|(row, adds)| format!("{} {adds:.4}", name(*row)));
    let average = because.average.map(|average| format!("average {average:.4}"));
    // What rounds to nothing is not worth a word.
    let rest = (because.rest.abs() >= 5e-5).then(|| format!("others {:.4}", because.rest));
    let parts: Vec<String> = average.into_iter().chain(items).chain(rest).collect();
    format!("  because of {}", parts.join(", "))
}
