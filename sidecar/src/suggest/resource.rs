//! The resource as YAML, with the guesses as comments: only what differs from the defaults.

use std::fmt::Write as _;

use recommender_trainer::format_of;
use sidecar_contract::{Algorithm, AlsConfig, Column, Csv, Format, Signal, SplitKind};

use super::{
    Suggestion,
    columns::Columns,
    grouped,
    place::{CLAIM_TO_FILL_IN, Place, shell_word},
    sizes::{THREADS_ASSUMED, mebibytes, quantity},
    wrapped,
};

/// Longest line of a comment.
const COMMENT_CHARS: usize = 100;
/// Words that YAML does not take for text.
const NO_TEXT: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
/// What columns are called where the resource does not say.
const DEFAULT_COLUMNS: [(&str, &str); 5] =
    [("user", "user_id"), ("item", "item_id"), ("rating", "rating"), ("timestamp", "timestamp"), ("id", "item_id")];

/// The document.
pub fn render(suggestion: &Suggestion) -> String {
    let Suggestion {
        name,
        path,
        config,
        shape,
        columns,
        items,
        signal,
        profile,
        ratings: _,
        place,
        items_place,
        sizes,
    } = suggestion;
    let mut yaml = Yaml::default();
    let (rows, users, items_count) = (grouped(profile.rows.read), grouped(profile.users()), grouped(profile.items()));
    let part = if profile.share < 1.0 { " in the part that was looked at" } else { "" };
    yaml.comment(0, &format!("For {path}: {shape}; {rows} rows, {users} users, {items_count} items{part}."));
    yaml.comment(0, "");
    yaml.line(0, &make_config_map(suggestion));
    yaml.line(0, &format!("#   kubectl apply -f {name}.yaml"));
    yaml.line(0, &format!("#   kubectl wait --for=condition=Ready recommender/{name} --timeout=1h"));
    yaml.line(
        0,
        &format!("apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata:\n  name: {name}\nspec:\n  data:"),
    );
    yaml.source(2, place);
    yaml.form(2, config.format, &config.csv, place);
    yaml.comment(2, &format!("{}.", columns.described()));
    yaml.columns(2, columns);
    let explicit = config.signal == Signal::Explicit;
    yaml.comment(2, &format!("{}: {}.", if explicit { "Explicit" } else { "Implicit, as by default" }, signal.why));
    if explicit {
        yaml.line(2, "signal: explicit");
    }
    if let (Some(table), Some((columns, _)), Some(place)) = (&config.items, items, items_place) {
        yaml.line(2, "items:");
        yaml.source(3, place);
        yaml.form(3, table.format, &table.csv, place);
        yaml.comment(3, &format!("{}.", columns.described()));
        yaml.columns(3, columns);
    }
    if let Algorithm::Als(als) = &config.algorithm {
        yaml.algorithm(als);
    }
    if let Some((SplitKind::Random, why)) = &sizes.split {
        yaml.line(1, "evaluation:");
        yaml.comment(2, &format!("Not by time: {why}."));
        yaml.line(2, "split: random");
    }
    let (least, limit) = sizes.training;
    yaml.line(1, "training:");
    if config.tuning.is_some() {
        yaml.comment(2, "Each run looks for the regularization, which nobody can tell from the outside.");
        yaml.line(2, "tuning: {}");
    }
    let peak = mebibytes(least);
    yaml.comment(
        2,
        &format!("A run takes at most about {peak} with {THREADS_ASSUMED} processors; the limit leaves a quarter more, or more."),
    );
    yaml.line(2, &format!("resources:\n      requests: {{cpu: 100m, memory: {}}}", quantity(least)));
    yaml.line(3, &format!("limits: {{memory: {}}}", quantity(limit)));
    yaml.line(1, "serving:");
    yaml.comment(
        2,
        &format!("One may go while the other answers; each holds the model, about {}.", mebibytes(sizes.model_bytes)),
    );
    yaml.line(2, "replicas: 2");
    if let Some(memory) = sizes.serving.map(quantity) {
        yaml.line(
            2,
            &format!("resources:\n      requests: {{cpu: 50m, memory: {memory}}}\n      limits: {{memory: {memory}}}"),
        );
    }
    yaml.0
}

/// The command that makes the ConfigMap, if one is to be made.
fn make_config_map(Suggestion { path, items, place, items_place, .. }: &Suggestion) -> String {
    let files = [(Some(place), Some(path)), (items_place.as_ref(), items.as_ref().map(|(_, path)| path))];
    let mut command = String::new();
    for (place, path) in files {
        let (Some(Place::ConfigMap { name, key, to_make: true }), Some(path)) = (place, path) else { continue };
        if command.is_empty() {
            command = format!("#   kubectl create configmap {name}");
        }
        let _ = write!(command, " --from-file={}", shell_word(&format!("{key}={path}")));
    }
    command.replace(char::is_control, " ")
}

fn column_text(column: &Column) -> String {
    match column {
        Column::Index(index) => index.to_string(),
        Column::Name(name) => text(name),
    }
}

/// A scalar that YAML reads as this text, also between braces.
fn text(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let is_text = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(plain)
        && !NO_TEXT.contains(&text.to_ascii_lowercase().as_str());
    // What JSON quotes is quoted for YAML, too.
    if is_text { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// A document that grows by lines.
#[derive(Default)]
struct Yaml(String);

impl Yaml {
    fn line(&mut self, depth: usize, text: &str) {
        if !text.is_empty() {
            let _ = writeln!(self.0, "{:1$}{text}", "", 2 * depth);
        }
    }

    fn comment(&mut self, depth: usize, text: &str) {
        let start = format!("{:1$}# ", "", 2 * depth);
        // Names of files and columns may hold anything.
        let text = text.replace(char::is_control, " ");
        self.0 += wrapped(&text, &start, &start, COMMENT_CHARS).trim_end();
        self.0.push('\n');
    }

    fn source(&mut self, depth: usize, place: &Place) {
        let line = match place {
            Place::Url(url) => {
                self.comment(
                    depth,
                    "Not public? Add secretRef: {name: SECRET} below, with the keys that docs/data.md names.",
                );
                format!("url: {}", serde_json::Value::from(url.as_str()))
            }
            Place::ConfigMap { name, key, .. } => format!("configMap: {{name: {}, key: {}}}", text(name), text(key)),
            Place::Claim { name, path } => {
                if name == CLAIM_TO_FILL_IN {
                    self.comment(
                        depth,
                        "What is here is too large for a ConfigMap. Fill in the claim of a volume that holds it and its path there, or write \
                         url: s3://BUCKET/KEY (gs://, az://, https://) instead.",
                    );
                }
                format!("persistentVolumeClaim: {{claimName: {}, path: {}}}", text(name), text(path))
            }
        };
        self.line(depth, "source:");
        self.line(depth + 1, &line);
    }

    /// How the file is written, where its name there does not say so.
    fn form(&mut self, depth: usize, format: Option<Format>, csv: &Csv, place: &Place) {
        let said = place.file_name().and_then(format_of);
        if let Some(format) = format.filter(|format| said != Some(*format)) {
            let word = serde_json::to_value(format).unwrap_or_default();
            self.line(depth, &format!("format: {}", word.as_str().unwrap_or_default()));
        }
        let header = (!csv.header).then(|| "header: false".to_owned());
        let delimiter = csv.delimiter.map(|c| format!("delimiter: {}", serde_json::Value::from(c.to_string())));
        let parts: Vec<String> = header.into_iter().chain(delimiter).collect();
        if !parts.is_empty() {
            self.line(depth, &format!("csv: {{{}}}", parts.join(", ")));
        }
    }

    fn columns(&mut self, depth: usize, columns: &Columns) {
        let is_default = |part: &str, column: &Column| match column {
            Column::Name(name) => DEFAULT_COLUMNS.contains(&(part, name.as_str())),
            Column::Index(_) => false,
        };
        let guesses = columns.guesses.iter().filter(|guess| !is_default(guess.part, &guess.column));
        let parts: Vec<String> =
            guesses.map(|guess| format!("{}: {}", guess.part, column_text(&guess.column))).collect();
        if !parts.is_empty() {
            self.line(depth, &format!("columns: {{{}}}", parts.join(", ")));
        }
    }

    fn algorithm(&mut self, als: &AlsConfig) {
        if als.factors != AlsConfig::default().factors {
            self.line(1, "algorithm:");
            self.comment(
                2,
                "By the size of the table: a small one holds fewer tastes, and more noise, than the defaults are for.",
            );
            self.line(2, &format!("als: {{factors: {}}}", als.factors));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_are_text_to_yaml() {
        for (name, expected) in [("userId", "userId"), ("user id", "\"user id\""), ("no", "\"no\""), ("1st", "\"1st\"")]
        {
            assert_eq!(text(name), expected);
        }
        assert_eq!(text("a: \"b\""), r#""a: \"b\"""#);
    }
}
