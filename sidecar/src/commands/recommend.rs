//! `recmesh-sidecar recommend`: the answer of a model file on the terminal.

mod all;

use answering::{
    Answer, Ask, Contribution, Explanation, HistoryEntry, Item, Query, RequestId, limits::EXPLAINED_ITEMS_MAX,
};
use anyhow::{Result, ensure};

use crate::{
    api::response::{ResponseFormat, recommendations},
    args::RecommendArgs,
    loading,
};

/// Prints items for a user or a history, or writes those of all users to a file.
///
/// # Errors
/// A model file that cannot serve, neither user nor history, or a file that cannot be written.
pub fn run(args: RecommendArgs) -> Result<()> {
    if let Some(output) = &args.output {
        return all::run(&args, output);
    }
    ensure!(args.user.is_some() || !args.history.is_empty(), "give --user, or --history, or both; or --all");
    ensure!(
        !args.explain || args.n <= EXPLAINED_ITEMS_MAX,
        "-n {}: --explain is limited to {EXPLAINED_ITEMS_MAX} items",
        args.n
    );
    ensure!(
        args.ratings.is_empty() || args.ratings.len() == args.history.len(),
        "{} ratings for {} items of --history; give one rating per item, or none",
        args.ratings.len(),
        args.history.len()
    );
    let local = loading::open_with_catalogue(&args.model, args.catalogue.as_deref())?;
    if let Some(user) = &args.user
        && local.model().snapshot().user_index(user).is_none()
    {
        eprintln!("the model does not have this user: the list contains popular items");
    }
    let ratings = args.ratings.into_iter().map(Some).chain(std::iter::repeat(None));
    let history = args.history.into_iter().zip(ratings).map(|(item, rating)| HistoryEntry { item, rating });
    let query = Query::Recommend { user: args.user, history: history.collect() };
    let answer = local.answer(&Ask { n: args.n, explain: args.explain, ..Ask::new(RequestId::new(), query) })?;
    if args.json {
        println!("{}", String::from_utf8_lossy(&recommendations(&answer, ResponseFormat::Json)));
    } else {
        print!("{}", table(&answer));
    }
    Ok(())
}

/// The items as a table. An explanation is a line below its item.
fn table(answer: &Answer<'_>) -> String {
    let line = |item: &Item<'_>| {
        let title = item.title.as_deref().unwrap_or_default();
        let line = format!("{:<24} {:>9.4}  {:<8} {title}\n", item.id, item.score, item.source.as_str());
        line + &item.explanation.as_ref().map(explanation_line).unwrap_or_default()
    };
    let head = format!("{:<24} {:>9}  {:<8} TITLE\n", "ITEM", "SCORE", "SOURCE");
    std::iter::once(head).chain(answer.items.iter().map(line)).collect()
}

/// The parts of a score on a line.
fn explanation_line(Explanation { contributions, remainder, baseline }: &Explanation<'_>) -> String {
    let contribution = |Contribution { id, title, contribution }: &Contribution<'_>| {
        format!("{} {contribution:.4}", title.as_deref().unwrap_or(id))
    };
    let baseline = baseline.map(|baseline| format!("baseline {baseline:.4}"));
    // A remainder that rounds to zero is left out.
    let remainder = (remainder.abs() >= 5e-5).then(|| format!("remainder {remainder:.4}"));
    let parts: Vec<String> =
        baseline.into_iter().chain(contributions.iter().map(contribution)).chain(remainder).collect();
    format!("  explanation: {}\n", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use answering::Source;

    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_item_and_one_for_its_explanation() {
        let item = |id: &'static str, explanation| Item {
            id: id.into(),
            title: (id == "b").then(|| "Products".into()),
            score: 4.25,
            source: Source::FoldIn,
            explanation,
        };
        let contribution = |id: &'static str, title: Option<&'static str>, contribution| Contribution {
            id: id.into(),
            title: title.map(Into::into),
            contribution,
        };
        let explanation = Explanation {
            contributions: vec![contribution("x", Some("News"), 0.75), contribution("y", None, 0.5)],
            remainder: -0.1,
            baseline: Some(3.1),
        };
        let exact = Explanation { remainder: 0.00004, baseline: None, ..explanation.clone() };
        let answer = Answer {
            request_id: RequestId::new(),
            parts: Vec::new().into(),
            items: vec![item("a", None), item("b", Some(explanation)), item("c", Some(exact))],
            left_out: Vec::new(),
            matches: None,
            next: None,
            degraded: false,
            missing: Vec::new(),
        };
        let expected = "\
ITEM                         SCORE  SOURCE   TITLE
a                           4.2500  fold-in  
b                           4.2500  fold-in  Products
  explanation: baseline 3.1000, News 0.7500, y 0.5000, remainder -0.1000
c                           4.2500  fold-in  
  explanation: News 0.7500, y 0.5000
";
        assert_eq!(table(&answer), expected);
    }
}
