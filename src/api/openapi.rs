//! The document that describes the API. Operations come from the handlers themselves; what they have in common is added here.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, Info, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, Response, Server,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    PREFIX,
    problem::{FieldError, ProblemDetails},
};

const PROBLEM: &str = "application/problem+json";
const BASIC: &str = "basic";
const BEARER: &str = "bearer";

/// The document before its operations.
pub(super) fn base() -> OpenApi {
    let mut components = Components::new();
    for (name, schema) in [
        (ProblemDetails::name(), ProblemDetails::schema()),
        (FieldError::name(), FieldError::schema()),
    ] {
        components.schemas.insert(name.into_owned(), schema);
    }
    for (name, scheme) in [
        (BASIC, HttpAuthScheme::Basic),
        (BEARER, HttpAuthScheme::Bearer),
    ] {
        components.add_security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
    }
    let either =
        [BASIC, BEARER].map(|name| SecurityRequirement::new::<_, [&str; 0], &str>(name, []));
    let mut info = Info::new("Entrepot", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Management of an Entrepot. Times are RFC 3339 in UTC, sizes bytes, durations milliseconds unless the name says \
         otherwise. Objects may get more members."
            .to_owned(),
    );
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new(PREFIX)]))
        .components(Some(components))
        .security(Some(either))
        .build()
}

/// Adds to each operation the answers that each can give, and to each refusal its body.
pub(super) fn complete(paths: &mut Paths) {
    for item in paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ];
        for operation in operations.into_iter().flatten() {
            complete_operation(operation);
        }
    }
}

fn complete_operation(operation: &mut Operation) {
    let takes_body = operation.request_body.is_some();
    let takes_parameters = operation.parameters.is_some() || takes_body;
    let responses = &mut operation.responses.responses;
    let common = [
        ("400", "A parameter or a member is wrong; `errors` names it"),
        ("401", "The login is missing or wrong"),
        ("403", "A page of another site may not change anything"),
        (
            "429",
            "Too many wrong passwords; `Retry-After` tells when to come again",
        ),
        ("500", "This server's own fault; its log says more"),
    ];
    for (status, description) in common {
        if status != "400" || takes_parameters {
            let response = RefOr::T(Response::new(description));
            responses.entry(status.to_owned()).or_insert(response);
        }
    }
    let of_bodies = [
        ("413", "The body is longer than 1 MiB"),
        ("415", "The body is not of the type application/json"),
    ];
    for (status, description) in of_bodies.into_iter().filter(|_| takes_body) {
        let response = RefOr::T(Response::new(description));
        responses.entry(status.to_owned()).or_insert(response);
    }
    let refusals = responses
        .iter_mut()
        .filter(|(status, _)| status.as_str() >= "400");
    for (_, response) in refusals {
        if let RefOr::T(response) = response {
            let schema = Ref::from_schema_name(ProblemDetails::name());
            let content = Content::new(Some(schema));
            response
                .content
                .insert(PROBLEM.to_owned(), RefOr::T(content));
        }
    }
}

/// The members that an object has by the document.
#[cfg(test)]
pub(super) fn documented<T: PartialSchema>() -> std::collections::BTreeSet<String> {
    use utoipa::openapi::Schema;
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object.properties.into_keys().collect(),
        _ => panic!("{} is no object with members", std::any::type_name::<T>()),
    }
}

/// The keys that the configuration names when it refuses one that it does not know.
#[cfg(test)]
pub(super) fn known_keys(refusal: &str) -> std::collections::BTreeSet<String> {
    let (_, keys) = refusal
        .split_once("no such key; there are ")
        .unwrap_or_else(|| panic!("refused for something else: {refusal}"));
    keys.split(", ").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_and_bearer_are_two_ways_in() {
        let document = serde_json::to_value(base()).expect("it is JSON");
        assert_eq!(
            document["security"],
            serde_json::json!([{"basic": []}, {"bearer": []}])
        );
        let schemes = &document["components"]["securitySchemes"];
        assert_eq!(schemes["bearer"]["scheme"], "bearer");
    }
}
