//! Checks the variables `OTEL_*` (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
//! The SDK reads them itself, but replaces what it does not understand by a default, without a word.

use anyhow::{Context as _, Result, bail, ensure};

/// Returns the endpoint that spans are to be sent to, if there is one. An empty variable counts as not set.
pub(super) fn endpoint(variable: impl Fn(&str) -> Option<String>) -> Result<Option<String>> {
    let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    // The variable for traces comes before the one for all signals.
    let of_traces = |name: &str| {
        let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")];
        names.into_iter().find_map(|name| set(&name).map(|value| (name, value)))
    };
    let is_disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let exporter = set("OTEL_TRACES_EXPORTER").unwrap_or_else(|| "otlp".to_owned());
    let Some((name, endpoint)) = of_traces("ENDPOINT") else { return Ok(None) };
    if is_disabled || exporter == "none" {
        return Ok(None);
    }
    ensure!(exporter == "otlp", "OTEL_TRACES_EXPORTER is {exporter:?}; set it to otlp or none");
    let url: reqwest::Url = endpoint.parse().with_context(|| {
        format!("{name} is {endpoint:?}, which is no URL; an example of one is http://127.0.0.1:4318")
    })?;
    ensure!(
        url.scheme() == "http",
        "{name} is {endpoint:?}; only http:// is supported. Send the spans to a collector on this machine or in this \
         network, which passes them on over TLS"
    );
    if let Some((name, protocol)) = of_traces("PROTOCOL") {
        ensure!(
            protocol == "http/protobuf",
            "{name} is {protocol:?}; only http/protobuf is supported, which collectors take on port 4318"
        );
    }
    check_sampler(set("OTEL_TRACES_SAMPLER").as_deref(), set("OTEL_TRACES_SAMPLER_ARG").as_deref())?;
    // Without user and password.
    Ok(Some(format!("{}{}", url.origin().ascii_serialization(), url.path())))
}

fn check_sampler(sampler: Option<&str>, argument: Option<&str>) -> Result<()> {
    match sampler {
        None | Some("always_on" | "always_off" | "parentbased_always_on" | "parentbased_always_off") => Ok(()),
        Some(sampler @ ("traceidratio" | "parentbased_traceidratio")) => {
            let ratio = argument.and_then(|argument| argument.parse::<f64>().ok());
            ensure!(
                ratio.is_some_and(|ratio| (0.0..=1.0).contains(&ratio)),
                "OTEL_TRACES_SAMPLER is {sampler}, and OTEL_TRACES_SAMPLER_ARG is {argument:?}; set it to the part of the \
                 traces to record, between 0 and 1, such as 0.05"
            );
            Ok(())
        }
        Some(sampler) => bail!(
            "OTEL_TRACES_SAMPLER is {sampler:?}; set it to always_on, always_off, traceidratio, or one of these with \
             parentbased_ before it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<String>> {
        endpoint(|name| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned()))
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@collector:4318/");

    #[test]
    fn spans_are_exported_only_to_an_endpoint_that_is_set() {
        let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces/v1/traces");
        let on = "http://collector:4318/";
        for (variables, expected) in [
            (&[][..], None),
            (&[("OTEL_TRACES_SAMPLER", "nonsense")], None),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], None),
            (&[ENDPOINT], Some(on)),
            (&[ENDPOINT, of_traces], Some("http://traces/v1/traces")),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "True")], None),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], None),
            (&[ENDPOINT, ("OTEL_TRACES_SAMPLER", ""), ("OTEL_EXPORTER_OTLP_PROTOCOL", "")], Some(on)),
            (
                &[ENDPOINT, ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.05")],
                Some(on),
            ),
        ] {
            assert_eq!(of(variables).unwrap().as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_with_a_remedy() {
        for (name, value, remedy) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector", "http://127.0.0.1:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector", "only http://"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
            ("OTEL_TRACES_EXPORTER", "jaeger", "otlp or none"),
            ("OTEL_TRACES_SAMPLER", "xray", "parentbased_"),
            ("OTEL_TRACES_SAMPLER", "traceidratio", "between 0 and 1"),
        ] {
            let error = of(&[ENDPOINT, (name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(remedy) && !error.contains("secret"), "{error}");
        }
    }
}
