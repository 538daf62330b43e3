//! The page: what was decided by, then what it is made of.

use std::fmt::Write as _;

use sidecar_contract::{Algorithm, ColdItems, Metrics, RunOutcome, RunResult, Trial};

use crate::{
    plot::{self, Dot, Pair},
    text::{count, escaped, percent, time},
};

/// Most reasons of dropped rows that are listed.
const REASONS_MAX: usize = 30;

const STYLE: &str = "\
:root{--ink:#1c2733;--soft:#5b6b7b;--paper:#fff;--rule:#dde3ea;--model:#1769aa;--base:#b4bfca;--bad:#b3261e;--good:#1b7a43}\
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9fb0c0;--paper:#12181f;--rule:#2b3641;--model:#5aa9e6;--base:#55636f;--bad:#ff8a80;--good:#6fcf97}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:46rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.4rem 0 .4rem}\
p{margin:.4rem 0}.soft{color:var(--soft)}.verdict{font-size:1.15rem;margin-top:1.2rem;padding-left:.9rem;border-left:.3rem solid var(--soft)}\
.good{border-color:var(--good)}.bad{border-color:var(--bad)}code{font-family:ui-monospace,monospace;font-size:.9em;overflow-wrap:anywhere}\
svg{width:100%;height:auto;display:block;margin:.6rem 0}.grid{stroke:var(--rule)}.tick{fill:var(--soft);font-size:12px}.label{fill:var(--ink);font-size:13px}\
.line{fill:none;stroke:var(--model);stroke-width:2}.dot{fill:var(--model)}.whisker{stroke:var(--model);stroke-width:3}.model{fill:var(--model)}.baseline{fill:var(--base)}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--rule)}\
th{font-weight:600}td.n,th.n{text-align:right}.key i{display:inline-block;width:.8em;height:.8em;margin:0 .35em 0 .9em}.key .m{background:var(--model)}.key .b{background:var(--base)}\
@media print{body{background:#fff;color:#000}}";

/// The page about a run.
pub fn render(result: &RunResult) -> String {
    let mut body = String::new();
    head(&mut body, result);
    match &result.outcome {
        RunOutcome::Trained {
            metrics,
            objective,
            users,
            items,
            interactions,
            parameters,
            digest,
            snapshot_bytes,
            trials,
            ..
        } => {
            quality(&mut body, metrics.as_ref());
            fit(&mut body, objective);
            rows(&mut body, result);
            let model = [
                ("Revision", digest.revision().to_owned()),
                ("SHA-256", digest.to_string()),
                ("Users", count(*users)),
                ("Items", count(*items)),
                ("Interactions", count(*interactions)),
                ("Density", density(*users, *items, *interactions)),
                ("Snapshot, bytes", count(*snapshot_bytes)),
            ];
            section(&mut body, "Model", &model);
            if let Some(parameters) = parameters {
                section(&mut body, "Parameters", &named(parameters));
            }
            tuning(&mut body, trials);
        }
        RunOutcome::Unchanged | RunOutcome::Failed { .. } => rows(&mut body, result),
    }
    let run = [
        ("Run", result.run.to_string()),
        ("Data version", result.data_version.clone()),
        ("Config", result.config_hash.to_string()),
    ];
    section(&mut body, "What was run", &run);
    let title = format!("Run {}", result.run.number);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
}

fn head(body: &mut String, result: &RunResult) {
    let seconds = result.finished_at.saturating_sub(result.started_at);
    let _ = write!(
        body,
        "<h1>Run {}</h1><p class=\"soft\">ended {}, after {seconds} s</p>",
        result.run.number,
        time(result.finished_at)
    );
    let (class, verdict) = match &result.outcome {
        RunOutcome::Unchanged => ("", "The data is what it was: nothing was trained.".to_owned()),
        RunOutcome::Failed { reason, message } => {
            ("bad", format!("No model: {}. {}.", escaped(reason), escaped(message.trim_end_matches('.'))))
        }
        RunOutcome::Trained { metrics, .. } => match metrics.as_ref().and_then(|m| Some((m, m.lift?))) {
            Some((metrics, lift)) => (
                if lift.low >= 0.0 { "good" } else { "bad" },
                format!(
                    "{} than {} by {} (95 % interval {} to {}).",
                    if lift.estimate >= 0.0 { "Better" } else { "Worse" },
                    baseline(metrics),
                    percent(lift.estimate),
                    percent(lift.low),
                    percent(lift.high)
                ),
            ),
            None => ("", "Trained. Too few users had something kept back to say how good it is.".to_owned()),
        },
    };
    let _ = write!(body, "<p class=\"verdict {class}\">{verdict}</p>");
}

fn baseline(metrics: &Metrics) -> &'static str {
    if metrics.metric == "rmse" { "averages of users and items" } else { "recommending what is popular" }
}

fn quality(body: &mut String, metrics: Option<&Metrics>) {
    let Some(metrics) = metrics else { return };
    let _ = write!(
        body,
        "<h2>Quality on what the fit did not see</h2><p class=\"soft\">{} users{}, lists of {}. The gate looks at the lower end of the lift of {}.</p>",
        count(metrics.test_users),
        metrics.split.map_or_else(String::new, |split| format!(", measured on {}", split.described())),
        metrics.k,
        escaped(&metrics.metric)
    );
    if let Some(lift) = metrics.lift {
        let title = format!(
            "lift over the baseline: {}, 95 % interval {} to {}",
            percent(lift.estimate),
            percent(lift.low),
            percent(lift.high)
        );
        body.push_str(&plot::interval(&title, lift.low, lift.estimate, lift.high));
    }
    body.push_str(
        "<div class=\"scroll\"><table><tr><th>Metric</th><th class=\"n\">Model</th><th class=\"n\">Baseline</th></tr>",
    );
    let k = metrics.k;
    let both = [
        (format!("NDCG@{k}"), metrics.model.ndcg, metrics.baseline.ndcg),
        (format!("recall@{k}"), metrics.model.recall, metrics.baseline.recall),
        (format!("precision@{k}"), metrics.model.precision, metrics.baseline.precision),
        (format!("MAP@{k}"), metrics.model.map, metrics.baseline.map),
        (format!("MRR@{k}"), metrics.model.mrr, metrics.baseline.mrr),
        (format!("coverage@{k}"), metrics.model.coverage, metrics.baseline.coverage),
        (format!("Gini@{k} of the places in lists"), metrics.model.gini, metrics.baseline.gini),
        ("RMSE".to_owned(), metrics.model.rmse, metrics.baseline.rmse),
        ("MAE".to_owned(), metrics.model.mae, metrics.baseline.mae),
    ];
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    for (name, model, baseline) in both.into_iter().filter(|(_, model, baseline)| model.or(*baseline).is_some()) {
        let _ = write!(
            body,
            "<tr><td>{name}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            shown(model),
            shown(baseline)
        );
    }
    body.push_str("</table></div>");
    if let Some(against) = &metrics.incumbent {
        let _ = write!(
            body,
            "<p>Against {}, which served: {} (95 % interval {} to {}).</p>",
            against.digest.revision(),
            percent(against.lift.estimate),
            percent(against.lift.low),
            percent(against.lift.high)
        );
    }
    if let Some(ColdItems { items, users, ndcg, baseline }) = &metrics.cold_items {
        let _ = write!(
            body,
            "<p>Items that nobody has met: NDCG@{k} {ndcg:.4} by their attributes alone, {baseline:.4} in random order ({} items taken out of a fit, {} users).</p>",
            count(*items),
            count(*users)
        );
    }
    by_activity(body, metrics);
}

fn by_activity(body: &mut String, metrics: &Metrics) {
    if metrics.by_activity.is_empty() {
        return;
    }
    let rows = |low: u64, high: u64| if low == high { low.to_string() } else { format!("{low}–{high}") };
    let pairs: Vec<Pair> = metrics
        .by_activity
        .iter()
        .map(|group| Pair { label: rows(group.rows_min, group.rows_max), model: group.model, baseline: group.baseline })
        .collect();
    let _ = write!(
        body,
        "<h2>By how active users are</h2><p class=\"soft\">NDCG@{} of groups of as many users, by how many items each had met.<span class=\"key\"><i class=\"m\"></i>model<i class=\"b\"></i>baseline</span></p>{}",
        metrics.k,
        plot::pairs("NDCG of model and baseline by activity of users", &pairs)
    );
    body.push_str("<div class=\"scroll\"><table><tr><th>Items met</th><th class=\"n\">Users</th><th class=\"n\">Model</th><th class=\"n\">Baseline</th></tr>");
    for group in &metrics.by_activity {
        let _ = write!(
            body,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.4}</td><td class=\"n\">{:.4}</td></tr>",
            rows(group.rows_min, group.rows_max),
            count(group.users),
            group.model,
            group.baseline
        );
    }
    body.push_str("</table></div>");
}

fn fit(body: &mut String, objective: &[f64]) {
    let (Some(first), Some(last)) = (objective.first(), objective.last()) else { return };
    let _ = write!(
        body,
        "<h2>Objective by sweep</h2><p class=\"soft\">The refit on all rows: {} sweeps, from {} to {}. It should flatten out; if it still falls steeply, more iterations may help.</p>{}",
        objective.len(),
        plot::tick(*first),
        plot::tick(*last),
        plot::line("objective after each sweep", objective)
    );
}

/// What was tried for better parameters.
fn tuning(body: &mut String, trials: &[Trial]) {
    let Some(longest) = trials.iter().map(|trial| trial.sweeps).max() else { return };
    let _ = write!(
        body,
        "<h2>Parameters that were tried</h2><p class=\"soft\">{} sets, best first, compared on rows that the metrics above are not of. Only the best were fitted to the end, {longest} sweeps.</p>",
        trials.len()
    );
    let dots: Vec<Dot> = trials.iter().filter_map(dot).collect();
    body.push_str(&plot::dots("metric by regularization of each set", "regularization", &dots));
    body.push_str("<div class=\"scroll\"><table><tr><th class=\"n\">Sweeps</th><th class=\"n\">Metric</th><th class=\"n\">regularization</th><th class=\"n\">unobservedWeight</th><th class=\"n\">degreeExponent</th><th class=\"n\">degreeReturn</th><th class=\"n\">iterations</th></tr>");
    for trial in trials {
        let Algorithm::Als(als) = &trial.parameters else { continue };
        let _ = write!(
            body,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            trial.sweeps,
            trial.value_text(),
            als.regularization_text(),
            als.unobserved_weight,
            als.degree_exponent,
            als.degree_return,
            als.iterations
        );
    }
    body.push_str("</table></div>");
}

fn dot(trial: &Trial) -> Option<Dot> {
    let Algorithm::Als(als) = &trial.parameters else { return None };
    // The axis is logarithmic: 0 has no place on it.
    Some(Dot { x: als.regularization.filter(|x| *x > 0.0)?, y: trial.value? })
}

fn rows(body: &mut String, result: &RunResult) {
    let rows = &result.rows;
    if rows.read == 0 {
        return;
    }
    let share = |part: u64| format!("{} ({:.1} %)", count(part), 100.0 * part as f64 / rows.read as f64);
    let mut bars = vec![
        ("read".to_owned(), rows.read, count(rows.read)),
        ("kept".to_owned(), rows.kept, share(rows.kept)),
        ("of these merged".to_owned(), rows.merged, share(rows.merged)),
    ];
    let dropped = rows.dropped.iter().take(REASONS_MAX);
    bars.extend(dropped.map(|(reason, number)| (format!("dropped: {reason}"), *number, share(*number))));
    let _ = write!(body, "<h2>Rows of the data</h2>{}", plot::shares("rows read, kept, merged and dropped", &bars));
}

fn section(body: &mut String, title: &str, rows: &[(&str, String)]) {
    let _ = write!(body, "<h2>{title}</h2><div class=\"scroll\"><table>");
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(body, "<tr><th>{}</th><td><code>{}</code></td></tr>", escaped(name), escaped(value));
    }
    body.push_str("</table></div>");
}

fn density(users: u64, items: u64, interactions: u64) -> String {
    let cells = users as f64 * items as f64;
    if cells > 0.0 { format!("{:.3} %", 100.0 * interactions as f64 / cells) } else { String::new() }
}

fn named(parameters: &Algorithm) -> Vec<(&'static str, String)> {
    match parameters {
        Algorithm::Als(als) => {
            let mut named = vec![
                ("algorithm", "als".to_owned()),
                ("factors", als.factors.to_string()),
                ("iterations", als.iterations.to_string()),
                ("regularization", als.regularization_text()),
                ("regularizationExponent", als.regularization_exponent.to_string()),
                ("unobservedWeight", als.unobserved_weight.to_string()),
                ("degreeExponent", als.degree_exponent.to_string()),
            ];
            named.extend((als.degree_return > 0.0).then(|| ("degreeReturn", als.degree_return.to_string())));
            named.extend((als.samples > 0).then(|| ("samples", als.samples.to_string())));
            named
        }
        Algorithm::Svd(svd) => vec![
            ("algorithm", "svd".to_owned()),
            ("factors", svd.factors.to_string()),
            ("iterations", svd.iterations.to_string()),
            ("degreeExponent", svd.degree_exponent.to_string()),
        ],
        Algorithm::Bpr(bpr) => vec![
            ("algorithm", "bpr".to_owned()),
            ("factors", bpr.factors.to_string()),
            ("iterations", bpr.iterations.to_string()),
            ("learningRate", bpr.learning_rate.to_string()),
            ("regularization", bpr.regularization.to_string()),
        ],
    }
}
