//! Leaf fields of `spec` in the CRD schema of the API server.

use serde_json::{Value, json};

/// Field without subfields: a scalar, an item of a list (`[]`), or a value of a map (`{}`).
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Path relative to `spec`: `serving.tolerations[].key`, `training.labels{}`.
    pub path: String,
    pub schema: Value,
}

/// Returns all leaf fields in schema order.
pub fn leaves(spec: &Value) -> Vec<Leaf> {
    let mut found = Vec::new();
    walk(spec, "", &mut found);
    found
}

fn walk(schema: &Value, path: &str, found: &mut Vec<Leaf>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, schema) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(schema, &path, found);
        }
    } else if schema["additionalProperties"].is_object() {
        walk(&schema["additionalProperties"], &format!("{path}{{}}"), found);
    } else if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), found);
    } else {
        found.push(Leaf { path: path.to_owned(), schema: schema.clone() });
    }
}

/// Splits a path into steps: names, `[]` and `{}`.
fn steps(path: &str) -> Vec<String> {
    let spaced = path.replace("[]", ".[]").replace("{}", ".{}");
    spaced.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect()
}

/// Returns a document with only `value` at `path`. In a map, the key is `key`.
pub fn nest(path: &str, key: &str, value: Value) -> Value {
    steps(path).into_iter().rev().fold(value, |inner, step| match step.as_str() {
        "[]" => json!([inner]),
        "{}" => json!({key: inner}),
        name => json!({name: inner}),
    })
}

/// Merges `over` into `base`: objects by member, lists by index.
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(base), Value::Array(over)) => {
            for (index, value) in over.into_iter().enumerate() {
                if index < base.len() { merge(&mut base[index], value) } else { base.push(value) }
            }
        }
        (base, over) => *base = over,
    }
}

/// Adds missing required fields to `document`. `first` returns a value for a path.
pub fn fill(schema: &Value, path: &str, document: &mut Value, first: &dyn Fn(&str, &Value) -> Value) {
    match document {
        Value::Object(fields) => {
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                fields.entry(name).or_insert_with(|| first(&path, &schema["properties"][name]));
            }
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fill(&schema["properties"][name.as_str()], &path, value, first);
            }
        }
        Value::Array(items) => {
            for item in items {
                fill(&schema["items"], &format!("{path}[]"), item, first);
            }
        }
        _ => {}
    }
}

/// Removes fields that are mutually exclusive with `path`, that is, the other fields of a rule that
/// requires exactly one.
pub fn keep_one(schema: &Value, document: &mut Value, path: &str) {
    let mut at = (schema, document);
    for step in steps(path) {
        let (schema, document) = at;
        if let Some(fields) = document.as_object_mut() {
            let alternatives = alternatives(schema);
            if alternatives.contains(&step) {
                fields.retain(|name, _| *name == step || !alternatives.contains(name));
            }
        }
        at = match step.as_str() {
            "[]" => (&schema["items"], &mut document[0]),
            "{}" => return,
            name => (&schema["properties"][name], &mut document[name]),
        };
    }
}

/// Returns the fields of which a CEL rule requires exactly one:
/// `[has(self.a), has(self.b)]….size() == 1`.
fn alternatives(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let exactly_one = |rule: &&str| rule.starts_with("[has(self.") && rule.ends_with(".size() == 1");
    let Some(rule) = rules.filter_map(|rule| rule["rule"].as_str()).find(exactly_one) else { return Vec::new() };
    rule.split("has(self.").skip(1).filter_map(|part| Some(part.split_once(')')?.0.to_owned())).collect()
}
