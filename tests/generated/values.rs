//! What a leaf may be: values from its schema, both ends of every range among them, and the few that only a CEL rule or
//! Kubernetes itself knows.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::schema::{Leaf, fill, keep_one, merge, nest};

/// What the schema does not say of a leaf. Values are JSON, separated by spaces; without good ones, those of the schema are.
struct Hint {
    /// End of the path.
    end: &'static str,
    /// What goes with it, laid beside what `end` begins with.
    with: &'static str,
    /// Admitted, and worked with.
    good: &'static str,
    /// Refused by the API server.
    bad: &'static str,
    /// Admitted, perhaps, and then perhaps not worked with.
    odd: &'static str,
}

const fn hint(end: &'static str, with: &'static str, good: &'static str, bad: &'static str, odd: &'static str) -> Hint {
    Hint { end, with, good, bad, odd }
}

const DURATION: (&str, &str) = (r#""10s" "1h30m" "168h""#, r#""9s" "169h" "1d" "1 h""#);
const SECRET_OF_URL: &str = r#"{"source":{"url":"s3://shop/items.csv"}}"#;
const IN: &str = r#"{"matchExpressions":[{"operator":"In","values":["a"]}]}"#;

/// The first that fits counts.
const HINTS: &[Hint] = &[
    hint(
        "data.items.source.url",
        "{}",
        r#""s3://shop/items/" "https://example.com/items.csv.gz""#,
        r#""ftp://a/b" "s3://shop" "https://example.com/" "az://a/b.zip""#,
        "",
    ),
    hint(
        "source.url",
        "{}",
        r#""s3://shop/r.csv" "gs://shop/r/" "https://example.com/r.csv.gz""#,
        r#""ftp://a/b" "s3://shop" "https://example.com/" "az://a/b.zip""#,
        "",
    ),
    hint("source.secretRef.name", SECRET_OF_URL, "", "", r#""a..b""#),
    hint("persistentVolumeClaim.path", "{}", r#""r.csv" "exports/2026/""#, r#""/r.csv" "../r.csv" "r.csv.zip""#, ""),
    hint("configMap.key", "{}", r#""r.csv" "items.jsonl.zst""#, r#""r csv" "r.zip""#, r#""..""#),
    hint("algorithm.als.sampling.samples", r#"{"data":{"signal":"explicit"}}"#, "", "", ""),
    hint("algorithm.als.degreeReturn", r#"{"algorithm":{"als":{"degreeExponent":0.5}}}"#, "", "", ""),
    hint("algorithm.bpr.regularization", r#"{"algorithm":{"bpr":{"learningRate":0.000001}}}"#, "", "", ""),
    hint("data.eventWeights{}", r#"{"data":{"columns":{"event":"event"}}}"#, "1 -2.5 1e6", r#"0 2e6 "many""#, ""),
    hint("data.columns.event", r#"{"data":{"eventWeights":{"view":1}}}"#, "", "", ""),
    hint("data.halfLife", "{}", r#""30d" "1d12h""#, r#""90m" "0d" "d""#, ""),
    hint("data.csv.header", r#"{"data":{"columns":{"user":0,"item":1}}}"#, "", "", ""),
    hint("items.csv.header", r#"{"items":{"columns":{"id":0}}}"#, "", "", ""),
    hint("csv.delimiter", "{}", r#"";" "|" "\t""#, r#""\"" "||""#, ""),
    hint("model.revision", "{}", r#""0123456789""#, r#""newest" "01234567890""#, ""),
    hint("store.url", "{}", r#""s3://models" "gs://models/x/y""#, r#""https://a/b" "s3://""#, ""),
    hint("store.secretRef.name", r#"{"store":{"url":"s3://models"}}"#, "", "", r#""a..b""#),
    hint("evaluation.holdout", "{}", "0.001 0.1 0.5", "0.0", ""),
    hint("fallback[]", "{}", r#""popular""#, r#""recent""#, ""),
    hint(
        "training.schedule",
        "{}",
        r#""0 3 1 1 *" "*/15 2 29 feb mon""#,
        r#""0 3 * *" "0 24 * * *""#,
        r#""0 0 31 2 *""#,
    ),
    hint(
        "training.timeZone",
        r#"{"training":{"schedule":"0 3 1 1 *"}}"#,
        r#""UTC" "America/Argentina/Buenos_Aires""#,
        r#""Europe/""#,
        r#""Nowhere/Land""#,
    ),
    hint("training.deadline", "{}", DURATION.0, DURATION.1, ""),
    hint("training.startingDeadline", "{}", DURATION.0, DURATION.1, ""),
    hint("tuning.budget", "{}", DURATION.0, DURATION.1, ""),
    hint("training.dataCheckInterval", "{}", r#""0s" "1m" "168h""#, r#""59s" "169h""#, ""),
    hint("ipBlock.cidr", "{}", r#""10.0.0.0/8" "2001:db8::/32""#, r#""10.0.0.0/99" "10.0.0.0""#, ""),
    hint(
        "ipBlock.except[]",
        r#"{"ipBlock":{"cidr":"10.0.0.0/8"}}"#,
        r#""10.1.0.0/16""#,
        "",
        r#""11.0.0.0/8" "nowhere""#,
    ),
    hint("matchExpressions[].key", IN, r#""team" "example.com/team""#, "", r#""a b""#),
    hint("matchExpressions[].operator", IN, r#""In" "NotIn""#, "", r#""Exists" "Maybe""#),
    hint("matchExpressions[].values[]", IN, r#""a" """#, "", r#""a b""#),
    hint("matchLabels{}", "{}", r#""a" """#, "", r#""a b""#),
    hint(
        "tolerations[].key",
        r#"{"tolerations":[{"operator":"Exists"}]}"#,
        r#""gpu" "example.com/gpu""#,
        "",
        r#""a b""#,
    ),
    hint(
        "tolerations[].operator",
        r#"{"tolerations":[{"key":"gpu"}]}"#,
        r#""Exists" "Equal""#,
        r#""Maybe""#,
        r#""Lt""#,
    ),
    hint("tolerations[].value", r#"{"tolerations":[{"key":"gpu"}]}"#, r#""a" """#, "", r#""a b""#),
    hint(
        "tolerations[].effect",
        r#"{"tolerations":[{"operator":"Exists"}]}"#,
        r#""NoSchedule" "PreferNoSchedule" "NoExecute""#,
        r#""Never""#,
        "",
    ),
    hint(
        "tolerations[].tolerationSeconds",
        r#"{"tolerations":[{"operator":"Exists","effect":"NoExecute"}]}"#,
        "0 60 -1",
        "",
        "",
    ),
    hint("resources.requests{}", "{}", r#""500m" 2 "0" "0.5" "1e3""#, r#""2 GB" -1"#, r#""1e999""#),
    hint("resources.limits{}", "{}", r#""500m" 2 "0.5" "1e3""#, r#""2 GB" -1"#, r#""1e999""#),
    hint("serviceAccountName", "{}", r#""trainer" "a.b-c""#, r#""A" """#, r#""a..b""#),
];

/// Values of a leaf.
pub struct Values {
    /// Admitted, and worked with.
    pub good: Vec<Value>,
    /// Refused by the API server.
    pub bad: Vec<Value>,
    /// Either; what runs must be as safe.
    pub odd: Vec<Value>,
}

fn hint_of(path: &str) -> Option<&'static Hint> {
    HINTS.iter().find(|hint| path.ends_with(hint.end))
}

/// All that is tried at a leaf.
pub fn values(leaf: &Leaf) -> Result<Values> {
    let list = |text: &str| -> Result<Vec<Value>> {
        let items = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        items.collect::<Result<_, _>>().with_context(|| format!("hints for {}: {text}", leaf.path))
    };
    let (mut good, mut bad) = of_schema(&leaf.schema);
    let mut odd = Vec::new();
    if let Some(hint) = hint_of(&leaf.path) {
        let better = list(hint.good)?;
        if !better.is_empty() {
            good = better;
        }
        bad.extend(list(hint.bad)?);
        odd = list(hint.odd)?;
    }
    ensure!(!bad.is_empty(), "{}: no value is known that is refused", leaf.path);
    Ok(Values { good, bad, odd })
}

/// Good and bad values by type, enum, range, length and pattern.
fn of_schema(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    if let Some(words) = schema["enum"].as_array() {
        return (words.clone(), vec![json!("SomethingElse"), json!(7)]);
    }
    let (mut good, mut bad) = match schema["type"].as_str() {
        Some("boolean") => return (vec![json!(true), json!(false)], vec![json!("yes")]),
        Some("integer") => whole(schema),
        Some("number") => real(schema),
        Some("string") => text(schema),
        // A number or a text, each within its own bounds.
        _ => {
            let ((mut good, mut bad), (texts, no_texts)) = (whole(schema), text(schema));
            bad.retain(Value::is_i64);
            bad.extend(no_texts.into_iter().filter(Value::is_string));
            good.extend(texts);
            (good, bad)
        }
    };
    bad.push(json!([]));
    if !schema["default"].is_null() {
        good.push(schema["default"].clone());
    }
    (good, bad)
}

fn whole(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    #[allow(clippy::cast_possible_truncation, reason = "bounds of integers are whole, and below 2^53")]
    let bound = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
    let (low, high) = (bound("minimum"), bound("maximum"));
    let good = vec![json!(low.unwrap_or(0)), json!(high.unwrap_or(1))];
    let outside = low.map(|low| low - 1).into_iter().chain(high.map(|high| high + 1));
    let bad = outside.map(|number| json!(number)).chain([json!("7"), json!(0.5)]);
    (good, bad.collect())
}

fn real(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    let bound = |name: &str| schema[name].as_f64().or_else(|| schema[name].as_str()?.parse().ok());
    let (low, high) = (bound("minimum"), bound("maximum"));
    let outside = low.map(|low| low - 0.5).into_iter().chain(high.map(|high| high + 0.5));
    let bad = outside.map(|number| json!(number)).chain([json!("much")]);
    let (low, high) = (low.unwrap_or(0.0), high.unwrap_or(1.0));
    (vec![json!(low), json!(f64::midpoint(low, high)), json!(high)], bad.collect())
}

fn text(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    let length = |name: &str| schema[name].as_u64().and_then(|length| usize::try_from(length).ok());
    let longest = length("maxLength").unwrap_or(1);
    let good = vec![json!("a"), json!("a".repeat(longest.max(1)))];
    let mut bad = vec![json!("a".repeat(longest + 1)), json!(7)];
    if length("minLength").is_some_and(|length| length > 0) {
        bad.push(json!(""));
    }
    if schema["pattern"].is_string() {
        bad.push(json!("no such thing"));
    }
    (good, bad)
}

/// What all specs are built on: no pods, and a model at once.
pub fn base() -> Value {
    json!({"data": {"source": {"url": "s3://shop/ratings.csv"}}, "serving": {"replicas": 0}})
}

/// A spec with these values at these leaves, and with what must be beside them.
pub fn spec(schema: &Value, set: &[(&Leaf, &Value)]) -> Value {
    let mut spec = base();
    for (leaf, value) in set {
        if let Some(hint) = hint_of(&leaf.path) {
            let beside = serde_json::from_str(hint.with).unwrap_or_default();
            let above = leaf.path.strip_suffix(hint.end).unwrap_or_default().trim_end_matches('.');
            // What goes with `training.…` and the like says so itself.
            merge(&mut spec, nest(above, KEY, beside));
        }
        let key = if leaf.path.contains("resources.") { "cpu" } else { KEY };
        merge(&mut spec, nest(&leaf.path, key, (*value).clone()));
        keep_one(schema, &mut spec, &leaf.path);
    }
    fill(schema, "", &mut spec, &|path, schema| {
        if path.ends_with("items.source") {
            return json!({"url": "s3://shop/items.csv"});
        }
        let leaf = Leaf { path: path.to_owned(), schema: schema.clone() };
        values(&leaf).ok().and_then(|values| values.good.first().cloned()).unwrap_or_default()
    });
    spec
}

/// The key in maps of labels and the like.
const KEY: &str = "team";
