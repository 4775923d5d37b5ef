//! Requests of pages of other sites.

use super::*;

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let loopback = BrowserPolicy::new([127, 0, 0, 1].into(), &[], &["https://shop.example.com".parse().unwrap()]);
    let router = router_with(loopback);
    let ours = ("host", "localhost:9001");
    for (headers, status) in [
        (&[ours][..], 200),
        (&[], 200),
        (&[ours, ("origin", "http://localhost:9001")], 200),
        (&[ours, ("sec-fetch-site", "same-origin")], 200),
        (&[ours, ("origin", "https://shop.example.com"), ("sec-fetch-site", "cross-site")], 200),
        (&[ours, ("origin", "http://example.com")], 403),
        (&[ours, ("origin", "http://localhost:9000"), ("sec-fetch-site", "same-site")], 403),
        (&[ours, ("origin", "null")], 403),
        (&[ours, ("sec-fetch-site", "cross-site")], 403),
        (&[("host", "rebound.example.com"), ("origin", "http://rebound.example.com")], 421),
    ] {
        for (mut request, read) in [
            (post("/api/v1/orders", "{\"quantity\": 1}"), false),
            (Request::get("/api/v1/orders").body(Body::empty()).unwrap(), true),
        ] {
            for (name, value) in headers {
                request.headers_mut().insert(*name, value.parse().unwrap());
            }
            let (answered, _, body) = testing::send(&router, request).await;
            let expected = if read && status == 403 { 200 } else { status };
            assert_eq!(answered, expected, "{headers:?}: {body}");
            let kind = match expected {
                403 => "/problems/foreign-origin",
                421 => "/problems/unknown-host",
                _ => continue,
            };
            assert_eq!(body["type"], kind);
            assert_eq!(testing::get(&router, kind).await.0, 200);
        }
    }
}

#[tokio::test]
async fn other_origins_read_responses_only_if_they_are_configured() {
    let preflight = |origin: &str| {
        let request = Request::options("/api/v1/orders").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "content-type").body(Body::empty()).unwrap()
    };
    let get = |origin: &str| Request::get("/api/v1/orders").header("origin", origin).body(Body::empty()).unwrap();
    let shop = "https://shop.example.com";
    let allowed = async |router: &Router, request| {
        let (status, headers, _) = testing::send(router, request).await;
        (status, headers.get("access-control-allow-origin").map(|origin| origin.to_str().unwrap().to_owned()))
    };
    assert_eq!(allowed(&router(), preflight(shop)).await, (405, None));
    assert_eq!(allowed(&router(), get(shop)).await, (200, None));
    let router = router_with(BrowserPolicy::new([0, 0, 0, 0].into(), &[], &[shop.parse().unwrap()]));
    for request in [&preflight as &dyn Fn(&str) -> Request, &get] {
        assert_eq!(allowed(&router, request(shop)).await, (200, Some(shop.to_owned())));
        assert_eq!(allowed(&router, request("https://example.com")).await, (200, None));
    }
    // A refusal can be read, too.
    let missing = Request::get("/nowhere").header("origin", shop).body(Body::empty()).unwrap();
    assert_eq!(allowed(&router, missing).await, (404, Some(shop.to_owned())));
}
