use console::{AdminAccess, Console, ConsoleSettings};
use reqwest::{Response, StatusCode, header};

use crate::harness::{TOKEN, TestConsole, nowhere, text};

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let console = TestConsole::open(&nowhere()).await;
    for request in [
        console.get("/"),
        console.get("/no/such/page"),
        console.get("/assets/0/htmx.js"),
        console.foreign_post("/", ""),
        console.get("/").header(header::HOST, "example.com"),
    ] {
        let response = request.send().await.unwrap();
        let policy = header(&response, "content-security-policy");
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer");
        assert_eq!(header(&response, "cache-control"), "no-store", "{}", response.status());
    }
}

#[tokio::test]
async fn a_page_has_nothing_inline_and_nothing_from_elsewhere() {
    let console = TestConsole::open(&nowhere()).await;
    let page = console.page("/").await;
    for forbidden in ["<style", " style=", " onclick=", "javascript:", "src=\"http", "href=\"http"] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
    assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/assets/").count(), "{page}");
    let assets: Vec<&str> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert_eq!(assets.len(), 5, "{assets:?}");
    for path in assets {
        let response = console.get(path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(header(&response, "cache-control").contains("immutable"), "{path}");
        // With another hash it is another file, which does not exist.
        let name = path.rsplit('/').next().unwrap();
        text(console.get(&format!("/assets/0123456789abcdef/{name}")), StatusCode::NOT_FOUND).await;
    }
}

#[tokio::test]
async fn a_change_from_another_site_is_refused() {
    let console = TestConsole::open(&nowhere()).await;
    for request in [
        console.foreign_post("/logout", ""),
        console.foreign_post("/logout", "").header("sec-fetch-site", "cross-site"),
        console.foreign_post("/logout", "").header("origin", "http://example.com"),
    ] {
        let body = text(request, StatusCode::FORBIDDEN).await;
        assert!(body.contains("came from elsewhere"), "{body}");
    }
    text(console.post("/logout", ""), StatusCode::SEE_OTHER).await;
    let origin = console.url("");
    text(console.foreign_post("/logout", "").header("origin", origin), StatusCode::SEE_OTHER).await;
}

#[tokio::test]
async fn without_a_login_only_names_of_this_machine_are_answered() {
    let console = TestConsole::open(&nowhere()).await;
    text(console.get("/").header(header::HOST, "localhost:8000"), StatusCode::OK).await;
    let refused = console.get("/").header(header::HOST, "rebound.example.com:8000");
    assert!(text(refused, StatusCode::MISDIRECTED_REQUEST).await.contains("--admin-token"));
}

#[tokio::test]
async fn beyond_this_machine_a_token_is_needed() {
    let settings = ConsoleSettings { console_listen: "0.0.0.0:0".parse().unwrap() };
    let error = Console::listen(&settings, &AdminAccess::WithoutLogin(None)).await.unwrap_err().to_string();
    assert!(error.contains("--admin-token") && error.contains("--console-listen 127.0.0.1:0"), "{error}");
    Console::listen(&settings, &AdminAccess::Token(TOKEN.parse().unwrap())).await.unwrap();
}

#[tokio::test]
async fn a_login_opens_the_console_and_a_logout_closes_it() {
    let console = TestConsole::with_login(&nowhere()).await;
    // Behind the login, every name is answered.
    let response = console.get("/").header(header::HOST, "console.example.com").send().await.unwrap();
    assert_eq!((response.status(), header(&response, "location")), (StatusCode::SEE_OTHER, "/login?next=%2F"));
    let response = console.get("/").header("hx-request", "true").send().await.unwrap();
    assert_eq!((response.status(), header(&response, "hx-redirect")), (StatusCode::UNAUTHORIZED, "/login?next=%2F"));
    let form = console.page("/login?next=%2F").await;
    assert!(form.contains("Admin token") && !form.contains(TOKEN), "{form}");
    text(console.post("/login", "token=a-guess-of-somebody"), StatusCode::UNAUTHORIZED).await;
    text(console.foreign_post("/login", "token=a-token-of-the-tests"), StatusCode::FORBIDDEN).await;

    let log_in = console.post("/login", "token=a-token-of-the-tests&next=//example.com").send().await.unwrap();
    assert_eq!((log_in.status(), header(&log_in, "location")), (StatusCode::SEE_OTHER, "/"));
    let cookie = header(&log_in, "set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(TOKEN), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let page = text(console.get("/").header(header::COOKIE, &cookie), StatusCode::OK).await;
    assert!(page.contains("Log out") && !page.contains(TOKEN), "{page}");

    text(console.post("/logout", "").header(header::COOKIE, &cookie), StatusCode::SEE_OTHER).await;
    text(console.get("/").header(header::COOKIE, &cookie), StatusCode::SEE_OTHER).await;
}

#[tokio::test]
async fn the_token_cannot_be_guessed_quickly() {
    let console = TestConsole::with_login(&nowhere()).await;
    for _ in 0..20 {
        let response = console.post("/login", "token=a-guess-of-somebody").send().await.unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(header(&response, "retry-after"), "2");
            // The right token is not looked at either.
            return drop(
                text(console.post("/login", "token=a-token-of-the-tests"), StatusCode::TOO_MANY_REQUESTS).await,
            );
        }
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    panic!("20 attempts were allowed");
}

#[tokio::test]
async fn a_service_that_is_down_is_shown_with_what_to_do() {
    let console = TestConsole::open(&nowhere()).await;
    let page = console.page("/").await;
    for service in ["order", "inventory", "payment"] {
        assert!(page.contains(&format!("The {service} service cannot be reached at http://127.0.0.1:1/")), "{page}");
        assert!(page.contains(&format!("--{service}-url")), "{page}");
    }
    assert!(page.contains("role=\"alert\""), "{page}");
}
