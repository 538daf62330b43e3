//! The OpenAPI 3.1 document of the application port; a test holds its paths against the routes.

use serde_json::{Value, json};

use crate::limits::{CONTRIBUTIONS_MAX, EXPLAINED_ITEMS_MAX};

/// The document.
pub fn document() -> Value {
    let problem = json!({"description": "What is wrong, with which field, and what to try (RFC 9457)",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}});
    let ok = |schema: &str| {
        json!({"description": "The answer; header x-model-revision names the revision that made it, x-request-id the request",
            "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}}})
    };
    let body = |schema: &str| json!({"required": true, "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}}});
    let recommend = json!({"summary": "Items for a user, a history, or both", "operationId": "recommend",
        "requestBody": {"required": true, "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/RecommendRequest"}},
            "application/x-www-form-urlencoded": {"schema": {"$ref": "#/components/schemas/RecommendForm"}}}},
        "responses": {"200": ok("Recommendations"), "default": problem}});
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Recmesh sidecar", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": {
            "/recommend": {"post": recommend},
            "/recommend:batch": {"post": {"summary": "Several requests in one, answered by one revision", "operationId": "recommendBatch",
                "requestBody": body("BatchRequest"), "responses": {"200": ok("BatchResponse"), "default": problem}}},
            "/similar": {"post": {"summary": "Items like an item", "operationId": "similar",
                "requestBody": body("SimilarRequest"), "responses": {"200": ok("Recommendations"), "default": problem}}},
            "/model": {"get": {"summary": "The model that answers", "operationId": "model",
                "responses": {"200": ok("Model"), "default": problem}}},
            "/openapi.json": {"get": {"summary": "This document", "operationId": "openapi",
                "responses": {"200": {"description": "OpenAPI 3.1"}}}},
        },
        "components": {"schemas": schemas()},
    })
}

fn schemas() -> Value {
    let id = json!({"type": ["string", "integer"], "description": "As in the training data"});
    json!({
        "RecommendRequest": {"type": "object", "additionalProperties": false, "properties": {
            "user": id,
            "n": {"type": "integer", "minimum": 1, "default": 10},
            "history": {"type": "array", "description": "Folded in instead of the stored taste", "items": {"type": "object",
                "additionalProperties": false, "required": ["item"],
                "properties": {"item": id, "rating": {"type": "number", "description": "Weight, 1 when absent; \
    for a model of ratings what the user thinks of the item, and required"}}}},
            "exclude": {"type": "array", "items": id},
            "includeSeen": {"type": "boolean", "default": false},
            "explain": {"type": "boolean", "default": false, "description": format!("Say which of the user's items each answer \
    comes from; n is {EXPLAINED_ITEMS_MAX} at most then")}}},
        "RecommendForm": {"type": "object", "additionalProperties": false, "properties": {
            "user_id": {"type": "string"},
            "items": {"type": "string", "description": "Comma-separated ids"},
            "ratings": {"type": "string", "description": "Comma-separated numbers, one an item"},
            "n": {"type": "integer", "minimum": 1, "default": 10}}},
        "BatchRequest": {"type": "object", "additionalProperties": false, "required": ["requests"], "properties": {
            "requests": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/RecommendRequest"}}}},
        "BatchResponse": {"type": "object", "properties": {
            "requestId": {"type": "string"},
            "responses": {"type": "array", "items": {"$ref": "#/components/schemas/Recommendations"}}}},
        "SimilarRequest": {"type": "object", "additionalProperties": false, "required": ["item"], "properties": {
            "item": id, "n": {"type": "integer", "minimum": 1, "default": 10}}},
        "Recommendations": {"description": "The form gets `recommendations` and `requestId`, JSON gets the rest", "type": "object", "properties": {
            "recommendations": {"type": "array", "items": {"type": "string"}},
            "requestId": {"type": "string"},
            "model": {"type": "object", "properties": {"revision": {"type": "string"}, "variant": {"type": "string"}}},
            "items": {"type": "array", "items": {"type": "object", "properties": {
                "id": {"type": "string"}, "title": {"type": "string"}, "score": {"type": "number"},
                "source": {"enum": ["model", "fold-in", "popular", "similar"]},
                "because": {"type": "array", "maxItems": CONTRIBUTIONS_MAX, "description": "With explain, of sources model and fold-in: \
    the items of the user that add most to the score. With average and rest they add up to it", "items": {"type": "object",
                    "properties": {"id": {"type": "string"}, "title": {"type": "string"}, "contribution": {"type": "number"}}}},
                "average": {"type": "number", "description": "Of a model of ratings: what the item gets without any history"},
                "rest": {"type": "number", "description": "What the user's other items add, and what the end of the scale cuts off"}}}}}},
        "Model": {"type": "object", "properties": {
            "requestId": {"type": "string"},
            "revision": {"type": "string"}, "digest": {"type": "string"}, "algorithm": {"type": "object"},
            "signal": {"enum": ["implicit", "explicit"]}, "ratings": {"type": ["object", "null"], "description": "For a model of ratings the \
    lowest and the highest: scores are predicted ratings between them"},
            "users": {"type": "integer"}, "items": {"type": "integer"}, "interactions": {"type": "integer"},
            "factors": {"type": "integer"}, "answers": {"enum": ["full", "popular"], "description": "popular: a first model that \
    did not pass its quality gate answers by its popularity alone"},
            "loadedAt": {"type": "integer", "description": "Seconds since 1970"}}},
        "Problem": {"type": "object", "properties": {
            "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"},
            "requestId": {"type": "string", "description": "Also in header x-request-id; a sane one of the request is taken over"}}},
    })
}
