use serde_json::{Value, json};

use crate::{harness::System, orders::Order, scripted::Point};

const PROBLEM: &str = "application/problem+json";

#[tokio::test]
async fn an_amount_is_authorized_or_declined() {
    let system = System::start().await;
    let (status, body) = system.post(r#"{"order_id": 1, "amount": 200.50, "currency": "USD"}"#).await;
    assert_eq!(status, 200);
    assert_eq!((&body["authorized"], &body["payment_id"]), (&json!(true), &json!(1)));
    assert_eq!((&body["order_id"], &body["status"]), (&json!(1), &json!("AUTHORIZED")));
    assert!(body["reference"].is_string() && body["created_at"].is_string() && body["reason"].is_null());

    let (status, body) = system.post(r#"{"order_id": 1, "amount": 1000, "currency": "USD", "more": [1e999]}"#).await;
    assert_eq!(status, 200);
    assert_eq!((&body["authorized"], &body["payment_id"]), (&json!(false), &json!(2)));
    assert_eq!((&body["status"], &body["reason"]), (&json!("DECLINED"), &json!("over the limit")));

    // A request is a payment of its own, also for the same order.
    let (_, body) = system.post(r#"{"order_id": 1, "amount": 200.50, "currency": "USD"}"#).await;
    assert_eq!((&body["authorized"], &body["payment_id"]), (&json!(true), &json!(3)));
    let (status, shown) = system.get("/api/v1/payments/3/").await;
    assert_eq!((status, shown), (200, body));
    system.finish().await;
}

#[tokio::test]
async fn an_amount_comes_back_as_an_exact_number() {
    let system = System::start().await;
    for (amount, currency, answered) in [
        ("200.50", "USD", "200.50"),
        ("200.5", "USD", "200.50"),
        ("2e2", "USD", "200"),
        ("0.01", "USD", "0.01"),
        ("0.001", "KWD", "0.001"),
        ("7", "JPY", "7"),
        ("9007199254740.93", "USD", "9007199254740.93"),
        ("10000000000000", "USD", "10000000000000"),
    ] {
        let url = format!("{}/api/v1/payments/authorize/", system.url);
        let body = format!(r#"{{"order_id": 9007199254740993, "amount": {amount}, "currency": "{currency}"}}"#);
        let response = system.http.post(url).body(body).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"application/json".parse().unwrap())
        );
        let text = response.text().await.unwrap();
        assert!(
            text.contains(&format!(r#""order_id":9007199254740993,"amount":{answered},"currency":"{currency}""#)),
            "{text}"
        );
    }
    system.finish().await;
}

#[tokio::test]
async fn payments_are_listed_a_page_at_a_time() {
    let mut system = System::start().await;
    for amount in ["1", "1000", "3"] {
        system.post(format!(r#"{{"order_id": 7, "amount": {amount}, "currency": "USD"}}"#)).await;
    }
    // A memory of a cancellation between them is not one of them.
    let order = Order::of(8, "20");
    system.tell(&order.cancel()).await;
    system.hear().await;
    system.post(r#"{"order_id": 9, "amount": 4, "currency": "USD"}"#).await;

    let ids = |page: &Value| -> Vec<i64> {
        page.as_array().unwrap().iter().map(|item| item["payment_id"].as_i64().unwrap()).collect()
    };
    for path in ["/api/v1/payments", "/api/v1/payments/"] {
        let (status, page) = system.get(path).await;
        assert_eq!((status, ids(&page)), (200, vec![1, 2, 3, 5]));
        assert_eq!(page[0], system.get("/api/v1/payments/1").await.1);
    }
    let mut next = Some("/api/v1/payments/?limit=2".to_owned());
    let mut pages = Vec::new();
    while let Some(path) = next {
        let response = system.http.get(format!("{}{path}", system.url)).send().await.unwrap();
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        next = link.map(|link| link.strip_prefix('<').unwrap().strip_suffix(r#">; rel="next""#).unwrap().to_owned());
        pages.push(ids(&response.json().await.unwrap()));
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 5], vec![]]);
    assert_eq!(ids(&system.get("/api/v1/payments?after=3").await.1), [5]);
    assert_eq!(ids(&system.get("/api/v1/payments?after=-1&limit=1").await.1), [1]);
    system.finish().await;
}

#[tokio::test]
async fn a_wrong_request_is_told_what_is_wrong_and_nothing_is_written() {
    let system = System::start().await;
    let with =
        |amount: &str, currency: &str| format!(r#"{{"order_id": 1, "amount": {amount}, "currency": "{currency}"}}"#);
    let deep = |what: &str| what.replace("DEEP", &format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)));
    for (body, status, fields) in [
        (String::new(), 400, ""),
        ("nonsense".to_owned(), 400, ""),
        ("{".to_owned(), 400, ""),
        (with("NaN", "USD"), 400, ""),
        (with("-Infinity", "USD"), 400, ""),
        (with("01", "USD"), 400, ""),
        (with("1.", "USD"), 400, ""),
        (with("200", "US\0"), 400, ""),
        (with("200", "USD\\u0000"), 422, "currency"),
        ("\0".repeat(100), 400, ""),
        ("[".repeat(5_000), 400, ""),
        (deep("DEEP"), 422, ""),
        (deep(r#"{"order_id": DEEP, "amount": 1, "currency": "USD"}"#), 422, "order_id"),
        (deep(r#"{"order_id": 1, "amount": DEEP, "currency": "USD"}"#), 422, "amount"),
        (deep(r#"{"order_id": 1, "amount": 1, "currency": DEEP}"#), 422, "currency"),
        ("[1, 200, \"USD\"]".to_owned(), 422, ""),
        ("null".to_owned(), 422, ""),
        ("{}".to_owned(), 422, "order_id"),
        (r#"{"order_id": 1, "currency": "USD"}"#.to_owned(), 422, "amount"),
        (r#"{"order_id": 1, "amount": 200}"#.to_owned(), 422, "currency"),
        (r#"{"order_id": 1, "order_id": 1, "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": "1", "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": 1.5, "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": 0, "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": -1, "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": 99999999999999999999, "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": 1, "amount": 200, "currency": null}"#.to_owned(), 422, "currency"),
        (r#"{"order_id": 1, "amount": 200, "currency": 840}"#.to_owned(), 422, "currency"),
        (with("200", ""), 422, "currency"),
        (with("200", "usd"), 422, "currency"),
        (with("200", "ZZZ"), 422, "currency"),
        (with("200", "XAU"), 422, "currency"),
        (with("1e400", "USD"), 422, "amount"),
        (with("1e-400", "USD"), 422, "amount"),
        (with("1e99999999999", "USD"), 422, "amount"),
        (with("\"200\"", "USD"), 422, "amount"),
        (with("null", "USD"), 422, "amount"),
        (with("true", "USD"), 422, "amount"),
        (with("{}", "USD"), 422, "amount"),
        (with("0", "USD"), 422, "amount"),
        (with("0.00", "USD"), 422, "amount"),
        (with("-0", "USD"), 422, "amount"),
        (with("-200", "USD"), 422, "amount"),
        (with("200.505", "USD"), 422, "amount"),
        (with("1.5", "JPY"), 422, "amount"),
        (with("10000000000000.01", "USD"), 422, "amount"),
        (with(&"9".repeat(50_000), "USD"), 422, "amount"),
        (r#"{"order_id": 0, "amount": -1, "currency": "USD"}"#.to_owned(), 422, "order_id amount"),
        (r#"{"order_id": 0, "amount": 1, "currency": "ZZZ"}"#.to_owned(), 422, "order_id currency"),
        (" ".repeat(2 * 1024 * 1024), 413, ""),
    ] {
        let what = body.chars().take(80).collect::<String>();
        let (answered, problem) = system.post(body).await;
        assert_eq!((answered, &problem["status"]), (status, &json!(status)), "{what}: {problem}");
        assert_eq!(problem["instance"], "/api/v1/payments/authorize", "{what}");
        assert!(problem["type"].is_string() && problem["title"].is_string() && problem["detail"].is_string(), "{what}");
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let named: Vec<&str> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert_eq!(named.join(" "), fields, "{what}: {problem}");
    }
    assert_eq!(system.rows().await, []);
    assert_eq!(system.gateway.count(Point::BeforeAuthorize), 0, "the gateway is not asked either");
    system.finish().await;
}

#[tokio::test]
async fn every_other_refusal_is_a_problem_too() {
    let system = System::start().await;
    for (method, path, status, detail) in [
        ("GET", "/api/v1/payments/1", 404, "payment not found"),
        ("GET", "/api/v1/payments/-1", 404, "payment not found"),
        ("GET", "/api/v1/payments/9223372036854775807/", 404, "payment not found"),
        ("GET", "/api/v1/payments/one", 422, "payment_id: must be of type i64"),
        ("GET", "/api/v1/payments/%00", 422, "payment_id: must be of type i64"),
        ("GET", "/api/v1/payments/99999999999999999999", 422, "payment_id: must be of type i64"),
        ("GET", "/api/v1/payments?limit=0", 422, "limit: must be a whole number from 1 to 1000"),
        ("GET", "/api/v1/payments?limit=1001", 422, "limit: must be a whole number from 1 to 1000"),
        ("GET", "/api/v1/payments?after=x", 422, "after: invalid digit found in string"),
        ("GET", "/api/v1/nothing", 404, "there is nothing at this path"),
        ("DELETE", "/api/v1/payments/1", 405, "this path does not answer to this method"),
        ("POST", "/api/v1/payments", 405, "this path does not answer to this method"),
        ("PUT", "/api/v1/payments/authorize", 405, "this path does not answer to this method"),
    ] {
        let request = system.http.request(method.parse().unwrap(), format!("{}{path}", system.url));
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], PROBLEM, "{method} {path}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!((&problem["status"], &problem["detail"]), (&json!(status), &json!(detail)), "{method} {path}");
    }
    let text =
        system.http.post(format!("{}/api/v1/payments/authorize", system.url)).header("content-type", "text/plain");
    let response = text.body(r#"{"order_id": 1, "amount": 200, "currency": "USD"}"#).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (415, &PROBLEM.parse().unwrap()));
    assert_eq!(system.rows().await, []);
    system.finish().await;
}

#[tokio::test]
async fn the_service_describes_itself() {
    let system = System::start().await;
    assert_eq!(system.get("/health").await, (200, json!({"status": "ok"})));
    crate::harness::with_timeout("readiness", async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(5));
        while system.get("/health/ready").await.0 != 200 {
            looks.tick().await;
        }
    })
    .await;
    let (_, openapi) = system.get("/openapi.json").await;
    let mut paths: Vec<_> = openapi["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    paths.retain(|path| path.starts_with("/api/"));
    paths.sort_unstable();
    assert_eq!(paths, ["/api/v1/payments", "/api/v1/payments/authorize", "/api/v1/payments/{payment_id}"]);
    assert_eq!(openapi["components"]["schemas"]["PaymentView"]["properties"]["amount"]["type"], "number");
    let docs = system.http.get(format!("{}/docs", system.url)).send().await.unwrap();
    assert_eq!(docs.status(), 200);
    system.finish().await;
}
