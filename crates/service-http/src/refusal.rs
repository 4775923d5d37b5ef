use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use saga_database::{Fault, TooManyLists};
use saga_message::is_traceparent;
use saga_runtime::{Cause, Refusal};
use sea_orm::DbErr;
use uuid::Uuid;

use super::Problem;
use crate::trace::{Traceparent, header};

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Overloaded => Self::overloaded("there is more to do than can be done; nothing was written"),
            Refusal::Unavailable(why) => Self::unavailable(why),
            Refusal::Internal => Self::internal(),
        }
    }
}

impl From<TooManyLists> for Problem {
    fn from(_: TooManyLists) -> Self {
        Self::overloaded("too many lists are being read; nothing was read")
    }
}

/// A read failed: the cause is logged, and the client learns whether a retry makes sense.
impl From<DbErr> for Problem {
    fn from(error: DbErr) -> Self {
        match Fault::of(&error) {
            Fault::Unavailable | Fault::Conflict | Fault::LockTimeout => {
                tracing::warn!(%error, "the database could not be read");
                Self::unavailable("the database is unavailable")
            }
            Fault::UniqueViolation | Fault::Permanent => {
                tracing::error!(%error, "the database could not be read");
                Self::internal()
            }
        }
    }
}

/// Extracts the request as the cause of what it triggers, in the trace of the request's span; without traces, in the
/// one that its `traceparent` header names, if that is valid
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>).
#[derive(Debug)]
pub struct RequestCause(pub Cause);

impl<S: Sync> FromRequestParts<S> for RequestCause {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let traceparent = match parts.extensions.get::<Traceparent>() {
            Some(Traceparent(of_span)) => Some(of_span.clone()),
            None => header(&parts.headers).filter(|text| is_traceparent(text)).map(str::to_owned),
        };
        Ok(Self(Cause { id: Uuid::now_v7(), traceparent }))
    }
}
