use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::*;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{super::Identity, *};

const ISSUER: &str = "https://id.example";

/// A key of the identity provider.
enum ProviderKey {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl ProviderKey {
    fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn p256() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "use": "sig", "x": encode(pair.public_key())})
            }
            Self::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": id, "alg": "ES256", "x": encode(x), "y": encode(y)})
            }
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = match self {
            Self::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{message}.{}", encode(signature))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "orders", "sub": "shop-a", "exp": now() + 600, "nbf": now() - 5,
        "scope": "openid orders:read orders:write",
    })
}

/// The claims with others in their place; null for none.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut claims = claims();
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

struct Provider {
    tokens: JwtTokens,
    file: PathBuf,
    _directory: TempDir,
}

fn provider(keys: &[Value]) -> Result<Provider> {
    provider_with(keys, "sub")
}

fn provider_with(keys: &[Value], owner_claim: &str) -> Result<Provider> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("jwks.json");
    std::fs::write(&file, json!({"keys": keys}).to_string())?;
    let (issuer, audience) = (ISSUER.to_owned(), "orders".to_owned());
    let config = JwtConfig { jwks_file: file.clone(), issuer, audience, owner_claim: owner_claim.to_owned() };
    Ok(Provider { tokens: JwtTokens::open(config)?, file, _directory: directory })
}

impl Provider {
    /// Returns the owner and the scopes of a token that is accepted.
    fn accepts(&self, token: &str) -> Option<(String, String)> {
        let caller = self.tokens.caller(token.as_bytes()).ok()?;
        let scopes: super::super::Scopes =
            super::super::Scope::ALL.into_iter().filter(|one| caller.may(*one)).collect();
        Some((caller.owner_of_new().to_owned(), scopes.to_string()))
    }
}

/// Returns the tokens of a provider, and one of them with the scope `stock:read`, for `shop-a`.
pub(in super::super) fn provider_with_token() -> (JwtTokens, String) {
    let key = ProviderKey::ed25519();
    let tokens = provider(&[key.jwk("a")]).unwrap().tokens;
    (tokens, key.sign(&json!({"alg": "EdDSA"}), &with(&[("scope", json!("stock:read"))])))
}

fn shop(scopes: &str) -> Option<(String, String)> {
    Some(("shop-a".to_owned(), scopes.to_owned()))
}

#[tokio::test]
async fn a_token_of_each_algorithm_is_accepted_with_the_scopes_that_are_known() {
    let (ed25519, p256) = (ProviderKey::ed25519(), ProviderKey::p256());
    let provider = provider(&[ed25519.jwk("a"), p256.jwk("b"), rsa()]).unwrap();
    for (key, id) in [(&ed25519, "a"), (&p256, "b")] {
        let header = json!({"alg": key.algorithm(), "kid": id, "typ": "at+jwt"});
        assert_eq!(provider.accepts(&key.sign(&header, &claims())), shop("orders:write orders:read"));
        // Without an id, it is the only key for the algorithm.
        let header = json!({"alg": key.algorithm()});
        assert_eq!(provider.accepts(&key.sign(&header, &claims())), shop("orders:write orders:read"));
        let listed =
            with(&[("scope", json!(null)), ("scp", json!(["stock:read", "profile"])), ("aud", json!(["x", "orders"]))]);
        assert_eq!(provider.accepts(&key.sign(&header, &listed)), shop("stock:read"));
        let none = with(&[("scope", json!(null))]);
        assert_eq!(provider.accepts(&key.sign(&header, &none)), shop(""));
    }
    assert_eq!(provider.accepts(RSA_TOKEN), shop("orders:read"));
}

#[tokio::test]
async fn the_caller_is_its_subject_until_the_token_expires() {
    let key = ProviderKey::ed25519();
    let provider = provider_with(&[key.jwk("a")], "client_id").unwrap();
    let header = json!({"alg": "EdDSA", "kid": "a"});
    let token = key.sign(&header, &with(&[("exp", json!(4_000_000_000_i64)), ("client_id", json!("shop-b"))]));
    let caller = provider.tokens.caller(token.as_bytes()).unwrap();
    assert_eq!(caller.owner_of_new(), "shop-b");
    let expires_at = 4_000_000_060;
    assert_eq!(*caller.identity(), Identity::Token { subject: "shop-a".into(), expires_at });
    // There has to be an owner, with a name that owners can have.
    for owner in [json!(null), json!(7), json!(""), json!("a b")] {
        assert_eq!(provider.accepts(&key.sign(&header, &with(&[("client_id", owner)]))), None);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_refused() {
    let (key, unknown) = (ProviderKey::ed25519(), ProviderKey::ed25519());
    let other = ProviderKey::p256();
    let provider = provider(&[key.jwk("a"), other.jwk("b")]).unwrap();
    let header = json!({"alg": "EdDSA", "kid": "a"});
    let valid = key.sign(&header, &claims());
    assert!(provider.accepts(&valid).is_some());
    for (name, value) in [
        ("exp", json!(null)),
        ("exp", json!(now() - 120)),
        ("exp", json!("soon")),
        ("nbf", json!(now() + 120)),
        ("iss", json!(null)),
        ("iss", json!("https://id.example.evil")),
        ("aud", json!(null)),
        ("aud", json!("other")),
        ("aud", json!(["other"])),
        ("sub", json!(null)),
        ("sub", json!("a b")),
        ("scope", json!(7)),
    ] {
        let token = key.sign(&header, &with(&[(name, value.clone())]));
        assert_eq!(provider.accepts(&token), None, "{name}: {value}");
    }
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "HS256", "kid": "a"}),
        json!({"alg": "ES256", "kid": "a"}),
        json!({"alg": "EdDSA", "kid": "b"}),
        json!({"alg": "EdDSA", "kid": "c"}),
        json!({"alg": "EdDSA", "kid": "a", "crit": ["exp"]}),
        json!({"kid": "a"}),
    ] {
        assert_eq!(provider.accepts(&key.sign(&header, &claims())), None, "{header}");
    }
    assert_eq!(provider.accepts(&unknown.sign(&header, &claims())), None);
    let (message, signature) = valid.rsplit_once('.').unwrap();
    let forged = format!(
        "{}.{}.{signature}",
        encode(header.to_string()),
        encode(with(&[("scope", json!("admin"))]).to_string())
    );
    for token in [&forged, message, &format!("{message}."), &format!("{message}.{signature}."), "", "..", "a.b.c"] {
        assert_eq!(provider.accepts(token), None, "{token}");
    }
}

#[tokio::test]
async fn changed_keys_are_taken_into_use_and_broken_ones_are_not() {
    let (old, new) = (ProviderKey::ed25519(), ProviderKey::p256());
    let provider = provider(&[old.jwk("a")]).unwrap();
    let token = |key: &ProviderKey| key.sign(&json!({"alg": key.algorithm()}), &claims());
    assert!(provider.accepts(&token(&old)).is_some() && provider.accepts(&token(&new)).is_none());
    std::fs::write(&provider.file, "{\"keys\": [").unwrap();
    let until = async |expected: [bool; 2]| {
        let is = || [&old, &new].map(|key| provider.accepts(&token(key)).is_some()) == expected;
        while !is() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // Both are accepted for as long as both are there.
    std::fs::write(&provider.file, json!({"keys": [old.jwk("a"), new.jwk("b")]}).to_string()).unwrap();
    until([true, true]).await;
    std::fs::write(&provider.file, json!({"keys": [new.jwk("b")]}).to_string()).unwrap();
    until([false, true]).await;
}

#[tokio::test]
async fn a_key_set_without_a_key_that_can_be_used_is_an_error_with_its_name() {
    let [mut encryption, mut other] = [rsa(), rsa()];
    encryption["use"] = json!("enc");
    other["alg"] = json!("RS512");
    let secret = json!({"kty": "oct", "k": "c2VjcmV0"});
    let unknown = json!({"kty": "AKP", "alg": "ML-DSA-44"});
    for keys in [vec![], vec![encryption], vec![other], vec![secret, unknown, json!(7)]] {
        let error = format!("{:#}", provider(&keys).err().unwrap());
        assert!(error.contains("jwks.json") && error.contains("RS256, ES256 or EdDSA"), "{error}");
    }
    let config = JwtConfig {
        jwks_file: "/nowhere/jwks.json".into(),
        issuer: String::new(),
        audience: String::new(),
        owner_claim: String::new(),
    };
    let error = format!("{:#}", JwtTokens::open(config).unwrap_err());
    assert!(error.contains("/nowhere/jwks.json"), "{error}");
}

proptest! {
    #[test]
    fn no_other_bytes_are_accepted(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[A-Za-z0-9_.-]{0,80}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let provider = provider(&[ProviderKey::ed25519().jwk("a")]).unwrap();
        prop_assert!(provider.tokens.caller(&bytes).is_err() && provider.tokens.caller(text.as_bytes()).is_err());
    }
}

/// The key of [`RSA_TOKEN`], whose private part was thrown away.
const RSA_KEYS: &str = include_str!("testdata/jwks.json");
/// Of the issuer and the owner above, for the scope `orders:read`, until the year 2100; signed by OpenSSL.
const RSA_TOKEN: &str = include_str!("testdata/token");

fn rsa() -> Value {
    serde_json::from_str::<Value>(RSA_KEYS).unwrap()["keys"][0].clone()
}
