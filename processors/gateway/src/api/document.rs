//! The `OpenAPI` document: made of the routes and of the components that are written by hand, committed, and served as it is committed.

/// The document (`OpenAPI` 3.1, JSON).
pub const TEXT: &str = include_str!("../../openapi.json");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::routes::{BASE, Does, ROUTES, Read, Route};
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    fn reference(to: &str) -> Value {
        json!({ "$ref": format!("#/components/schemas/{to}") })
    }

    fn parameters(route: &Route) -> Vec<Value> {
        let braces = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let path = braces.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "maxLength": 32 } }));
        let query = |name: &str, required: bool, schema: Value| json!({ "name": name, "in": "query", "required": required, "schema": schema });
        let text = || json!({ "type": "string", "maxLength": 32 });
        let more = match route.does {
            Does::Reads(Read::Orders) => vec![
                query("lot", true, text()),
                query("day", true, json!({ "type": "integer", "description": "yymmdd" })),
                query("after", false, text()),
            ],
            Does::Reads(Read::History) => vec![query("from", false, json!({ "type": "integer" }))],
            Does::Reads(Read::Refunds) => {
                vec![
                    query("state", false, json!({ "enum": ["stuck", "wanted", "open"], "default": "stuck" })),
                    query("from", false, json!({ "type": "integer" })),
                ]
            }
            Does::Reads(Read::Exceptions) => {
                vec![query("channel", false, text()), query("owner", false, text()), query("from", false, json!({ "type": "integer" }))]
            }
            Does::Reads(_) => Vec::new(),
            Does::Says(_) => vec![json!({
                "name": "Idempotency-Key", "in": "header", "required": true, "schema": { "type": "string", "minLength": 1, "maxLength": 128 },
                "description": "The same key says the same and gets the same answer, for ever; with another request it is refused with 409.",
            })],
        };
        path.chain(more).collect()
    }

    fn operation(route: &Route) -> Value {
        let content = |kind: &str, schema: &str| json!({ kind: { "schema": reference(schema) } });
        let mut answers = json!({
            "200": { "description": "As asked for.", "content": content("application/json", route.gives) },
            "default": { "description": "What went wrong, and what to do.", "content": content("application/problem+json", "Problem") },
        });
        let roles: Vec<&str> = route.roles.iter().map(|role| role.name()).collect();
        let mut operation = json!({
            "operationId": route.name(), "summary": route.summary, "description": format!("For: {}.", roles.join(", ")), "parameters": parameters(route),
        });
        if let Does::Says(write) = route.does {
            answers["202"] = json!({ "description": "Stored, and not decided in time.", "content": content("application/json", "Stored") });
            operation["requestBody"] = json!({ "required": true, "content": content("application/json", write.takes()) });
        }
        operation["responses"] = answers;
        operation
    }

    fn document() -> Value {
        let mut components: Value = serde_json::from_str(include_str!("components.json")).expect("it is JSON");
        components["securitySchemes"] = json!({ "token": { "type": "http", "scheme": "bearer" } });
        let mut paths = json!({});
        for route in &ROUTES {
            paths[format!("{BASE}{}", route.path)][route.method().to_lowercase()] = operation(route);
        }
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "boomgate operator API", "version": "1",
                "description": "Orders, payments, refunds, shifts and what persons do at lots. Moments are microseconds since 1970 in UTC, days are \
                    yymmdd by the lot's clock, money is in minor units. What changes something is answered with what was decided.",
            },
            "security": [{ "token": [] }], "paths": paths, "components": components,
        })
    }

    #[test]
    fn the_document_is_the_routes() {
        let text = format!("{}\n", serde_json::to_string_pretty(&document()).expect("it is JSON"));
        let writes = option_env!("GOLDEN") == Some("write");
        if writes {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json"), &text).expect("the tree is ours");
        } else {
            assert_eq!(TEXT, text, "GOLDEN=write cargo test -p gateway the_document writes it anew");
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there_and_every_one_that_is_there_is_named() {
        let document = document();
        let text = document.to_string();
        let named: BTreeSet<&str> = text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let there: BTreeSet<&str> = document["components"]["schemas"].as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(named, there);
    }
}
