//! The OpenAPI 3.1 document of the application port, derived from the types of requests and
//! responses. A test compares its paths with the routes, and another one fuzzes the server by it.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::api::{
    form::RecommendForm,
    request::{BatchRequest, RecommendRequest, SimilarRequest},
    response::{BatchResponse, CompositionDocument, FormRecommendations, ModelDocument, Problem, Recommendations},
};

/// The document.
pub fn document() -> Value {
    let requests = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut responses = requests.clone().for_serialize().into_generator();
    let mut requests = requests.into_generator();

    let recommend = content(&[
        ("application/json", reference::<RecommendRequest<'_>>(&mut requests)),
        ("application/x-www-form-urlencoded", reference::<RecommendForm>(&mut requests)),
    ]);
    let batch = content(&[("application/json", reference::<BatchRequest<'_>>(&mut requests))]);
    let similar = content(&[("application/json", reference::<SimilarRequest<'_>>(&mut requests))]);
    let problem = json!({
        "description": "Which field is wrong, what was expected, and what to try (RFC 9457).",
        "content": content(&[("application/problem+json", reference::<Problem<'_>>(&mut responses))]),
    });
    let list = reference::<Recommendations<'_>>(&mut responses);
    let form_list = reference::<FormRecommendations<'_>>(&mut responses);
    let ok = |schema: Value| {
        json!({
            "description": "Header x-model-revision has the revision that answered, x-request-id the id of the request.",
            "content": {"application/json": {"schema": schema}},
        })
    };
    let recommended = ok(json!({"anyOf": [list, form_list]}));
    let similar_items = ok(reference::<Recommendations<'_>>(&mut responses));
    let batch_response = ok(reference::<BatchResponse<'_>>(&mut responses));
    let model = reference::<ModelDocument<'_>>(&mut responses);
    let composition = reference::<CompositionDocument<'_>>(&mut responses);
    let model = ok(json!({"anyOf": [model, composition]}));
    let this_document = json!({
        "description": "This document.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    });
    let operation = |id: &str, summary: &str, body: Option<Value>, response: Value| {
        let mut operation = json!({
            "operationId": id,
            "summary": summary,
            "responses": {"200": response, "default": problem},
        });
        if let (Some(body), Some(fields)) = (body, operation.as_object_mut()) {
            fields.insert("requestBody".to_owned(), json!({"required": true, "content": body}));
        }
        operation
    };
    let recommend = operation("recommend", "Items for a user, a history, or both", Some(recommend), recommended);
    let batch = operation("recommendBatch", "Several requests in one", Some(batch), batch_response);
    let similar = operation("similar", "Items similar to an item", Some(similar), similar_items);
    let model = operation("model", "The loaded model, or the composition", None, model);
    let openapi = operation("openapi", "This document", None, this_document);
    let mut schemas = requests.take_definitions(true);
    schemas.extend(responses.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Recmesh sidecar",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/recommend": {"post": recommend},
            "/recommend:batch": {"post": batch},
            "/similar": {"post": similar},
            "/model": {"get": model},
            "/openapi.json": {"get": openapi},
        },
        "components": {"schemas": schemas},
    })
}

fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn content(types: &[(&str, Value)]) -> Value {
    types.iter().map(|(media_type, schema)| ((*media_type).to_owned(), json!({"schema": schema}))).collect()
}
