//! Access to the admin endpoints, and what they show.

use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};
use uuid::Uuid;

use super::service_harness::{LONG_AGO, ServiceHarness};
use crate::{
    counting_participant::UNACCEPTABLE,
    engine_harness::{World, created, raw},
};

const ENDPOINTS: [(Method, &str); 5] = [
    (Method::GET, "/admin/dead-letters"),
    (Method::POST, "/admin/dead-letters/redrive"),
    (Method::GET, "/admin/dead-letters/00000000-0000-0000-0000-000000000001"),
    (Method::DELETE, "/admin/dead-letters/00000000-0000-0000-0000-000000000001"),
    (Method::POST, "/admin/dead-letters/00000000-0000-0000-0000-000000000001/redrive"),
];

#[rstest]
#[tokio::test]
async fn without_a_token_in_the_settings_there_is_nothing_and_the_answer_says_how_to_change_that(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::with_token(&storage, world.participant_broker(), None).await;
    for (method, path) in ENDPOINTS {
        let (status, problem) = service.ask(method.clone(), path).await;
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!((status, &problem["instance"]), (404, &json!(path)), "{method} {path}");
        for word in ["are off", "--admin-token", "ADMIN_TOKEN", "--admin-token-file", "ADMIN_TOKEN_FILE"] {
            assert!(detail.contains(word), "{word}: {detail}");
        }
    }
    service.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn only_the_token_lets_in(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let id = Uuid::from_u128(1);
    service.dead_letter(id, b"kept").await;
    for (method, path) in ENDPOINTS {
        for headers in [
            &[][..],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearer the-operators-toke")],
            &[("authorization", "Bearer the-operators-token1")],
            &[("authorization", "Bearer THE-OPERATORS-TOKEN")],
            &[("authorization", "Basic the-operators-token")],
            &[("authorization", "the-operators-token")],
            &[("authorization", "Bearer the-operators-token"), ("authorization", "Bearer other")],
        ] {
            let response = service.request(method.clone(), path, headers).await;
            assert_eq!(response.status(), 401, "{method} {path} {headers:?}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
        }
        let response = service.request(method, path, &[("authorization", "bEARER the-operators-token")]).await;
        assert_ne!(response.status(), 401, "the scheme is written in any case");
    }
    let metrics = service.request(Method::GET, "/metrics", &[]).await.text().await.unwrap();
    let refused = format!("order_system_admin_refused_total{{service=\"inventory\"}} {}", 9 * ENDPOINTS.len());
    assert!(metrics.lines().any(|line| line == refused), "{metrics}");
    // The other endpoints need no token.
    assert_eq!(service.request(Method::GET, "/health", &[]).await.status(), 200);
    service.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn the_list_has_pages_and_no_bodies(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let messages = [created(7, UNACCEPTABLE), raw("no JSON\0"), raw(&"x".repeat(10 * 1024 * 1024))];
    world.publish_and_wait(&messages).await;
    service.dead_letter(Uuid::nil(), &[0xff, 0xfe]).await;

    let list = service.list().await;
    assert_eq!(list.len(), 4);
    let nil = json!({
        "message_id": Uuid::nil(), "reason": "dead-lettered by the test", "attempts": 1, "event": null, "subject": null,
        "dead_lettered_at": LONG_AGO, "size": 2,
    });
    assert_eq!(list[0], nil, "also the smallest id there is");
    // A message that cannot be decoded has an id that is derived from its body.
    let filed = |body: &str| Uuid::new_v5(&Uuid::NAMESPACE_OID, body.as_bytes());
    let ids = [messages[0].message_id.0, filed(&messages[1].body), filed(&messages[2].body)];
    let letter = |index: usize| list.iter().find(|letter| letter["message_id"] == json!(ids[index])).unwrap();
    assert_eq!((&letter(0)["event"], &letter(0)["subject"]), (&json!("OrderCreated"), &json!("7")));
    assert_eq!(letter(0)["size"], messages[0].body.len());
    assert!(letter(1)["reason"].as_str().unwrap().starts_with("not a CloudEvent"), "{}", letter(1));
    assert_eq!(letter(2)["size"], 10 * 1024 * 1024);
    assert!(json!(list).to_string().len() < 5_000, "a large body does not blow it up");

    let (mut path, mut seen) = ("/admin/dead-letters?limit=1".to_owned(), Vec::new());
    loop {
        let headers = [("authorization", "Bearer the-operators-token")];
        let response = service.request(Method::GET, &path, &headers).await;
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        seen.extend(response.json::<Vec<serde_json::Value>>().await.unwrap());
        let Some(link) = link else { break };
        path = link.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(seen, list);
    assert_eq!(service.ask(Method::GET, "/admin/dead-letters?limit=0").await.0, 422);
    assert_eq!(service.ask(Method::GET, "/admin/dead-letters?after=7").await.0, 422);
    service.finish(4).await;
}

#[rstest]
#[tokio::test]
async fn a_message_is_shown_whole(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let large = "ü".repeat(5 * 1024 * 1024);
    let bodies = [&b"no JSON\0 \"<"[..], &[0xff, 0, 0xfe], b"", large.as_bytes()];
    for (number, body) in (1..).zip(bodies) {
        service.dead_letter(Uuid::from_u128(number), body).await;
    }
    for (number, body, encoding) in
        [(1, "no JSON\0 \"<", "utf-8"), (2, "/wD+", "base64"), (3, "", "utf-8"), (4, &large, "utf-8")]
    {
        let (status, letter) =
            service.ask(Method::GET, &format!("/admin/dead-letters/{}", Uuid::from_u128(number))).await;
        assert_eq!((status, &letter["body_encoding"]), (200, &json!(encoding)));
        assert!(letter["body"] == body, "{number}");
        assert_eq!((&letter["attempts"], &letter["dead_lettered_at"]), (&json!(1), &json!(LONG_AGO)));
        assert_eq!(letter["size"], bodies[usize::try_from(number).unwrap() - 1].len());
    }
    let (status, problem) = service.ask(Method::GET, &format!("/admin/dead-letters/{}", Uuid::from_u128(9))).await;
    assert_eq!((status, &problem["detail"]), (404, &json!("there is no such dead letter")));
    assert_eq!(service.ask(Method::GET, "/admin/dead-letters/nine").await.0, 422);
    service.finish(4).await;
}

#[rstest]
#[tokio::test]
async fn a_message_that_nobody_wants_is_discarded(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let message = created(1, UNACCEPTABLE);
    world.publish_and_wait(std::slice::from_ref(&message)).await;
    let path = format!("/admin/dead-letters/{}", message.message_id.0);
    assert_eq!(service.ask(Method::DELETE, &path).await, (204, json!(null)));
    let (status, problem) = service.ask(Method::DELETE, &path).await;
    assert_eq!((status, &problem["detail"]), (404, &json!("there is no such dead letter")));
    assert_eq!(service.redrive(message.message_id.0).await.0, 404);
    assert_eq!((service.handled(1).await, service.in_the_inbox().await), (0, 0));
    service.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn the_endpoints_are_documented(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let (_, openapi) = service.ask(Method::GET, "/openapi.json").await;
    let scheme = &openapi["components"]["securitySchemes"]["bearer"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));
    for (method, path) in [
        ("get", "/admin/dead-letters"),
        ("post", "/admin/dead-letters/redrive"),
        ("get", "/admin/dead-letters/{message_id}"),
        ("delete", "/admin/dead-letters/{message_id}"),
        ("post", "/admin/dead-letters/{message_id}/redrive"),
    ] {
        let operation = &openapi["paths"][path][method];
        assert_eq!(operation["security"], json!([{"bearer": ["admin"]}]), "{method} {path}");
        for status in ["401", "403", "404"] {
            assert!(operation["responses"][status]["content"]["application/problem+json"].is_object(), "{path}");
        }
    }
    for reference in openapi.to_string().split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(openapi["components"]["schemas"][name].is_object(), "{name}");
    }
    service.finish(0).await;
}
