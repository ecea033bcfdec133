//! No session sees another's: the predecessor's four cases by name, hundreds of sessions in one
//! process, and two servers side by side.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use subrosa::{
    call::Reply,
    config::Config,
    enforcement::{Enforcement, Shared},
    principal::Principal,
    session::Session,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{emulator, workspace::Workspace};

/// A process with many sessions.
struct Plant {
    shared: Arc<Shared>,
    _folder: TempDir,
}

impl Plant {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let text = "[session]\nenvironment_fallback = false\n[tools]\nenable = []\n\
                    [audit]\nfile = \"audit.jsonl\"\n";
        let config = Config::parse(text, folder.path(), None).unwrap();
        Self { shared: Arc::new(Shared::new(config).unwrap()), _folder: folder }
    }

    fn session(&self, user: &str) -> User {
        let session = Arc::new(Session::open(Principal::new(user, user)));
        User {
            enforcement: Arc::new(Enforcement::open(Arc::clone(&self.shared), session).unwrap()),
        }
    }
}

/// One agent invocation.
#[derive(Clone)]
struct User {
    enforcement: Arc<Enforcement>,
}

impl User {
    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let never = CancellationToken::new();
        let reply = self.enforcement.call(tool, arguments, &never).await.unwrap().into_inner();
        match reply {
            Reply::Result { json, .. } => serde_json::from_slice(&json).unwrap(),
            Reply::Error(json) => panic!("{json:?}"),
        }
    }

    async fn set(&self, key: &str, region: &str) {
        let keys =
            json!({"access_key_id": key, "secret_access_key": secret_of(key), "region": region});
        let reply = self
            .call("set_aws_credentials_context", json!({"credentials_json": keys.to_string()}))
            .await;
        assert_eq!(reply["isError"], false, "{reply}");
        let service = json!({"service_info_json": json!({"service_id": key}).to_string()});
        self.call("set_service_context_info", service).await;
    }

    /// What the session holds, without asking AWS: the keys as the broker would take them.
    fn holds(&self) -> Option<(String, String)> {
        let set = self.enforcement.session().credentials()?;
        let subrosa::session::Origin::Literal(literal) = set.origin else { return None };
        Some((literal.keys.access_key_id.clone(), set.region.to_string()))
    }

    async fn service(&self) -> Option<String> {
        let reply = self.call("get_service_context_info", Value::Object(Map::new())).await;
        reply["structuredContent"]["service_id"].as_str().map(str::to_owned)
    }

    async fn clear(&self) {
        self.call("clear_credential_context", json!({})).await;
    }
}

/// A secret that has nothing in common with its key id.
fn secret_of(key: &str) -> String {
    digest(key)
}

fn pair(key: &str, region: &str) -> Option<(String, String)> {
    Some((key.to_owned(), region.to_owned()))
}

#[tokio::test]
async fn different_users() {
    let plant = Plant::new();
    let (a, b) = (plant.session("user-a"), plant.session("user-b"));
    a.set("AKIA_PROD_USER_A", "us-east-1").await;
    b.set("AKIA_DEV_USER_B", "eu-west-1").await;
    assert_eq!(a.holds(), pair("AKIA_PROD_USER_A", "us-east-1"));
    assert_eq!(b.holds(), pair("AKIA_DEV_USER_B", "eu-west-1"));
    assert_eq!(a.service().await.unwrap(), "AKIA_PROD_USER_A");
    assert_eq!(b.service().await.unwrap(), "AKIA_DEV_USER_B");
}

#[tokio::test]
async fn interleaved() {
    let plant = Plant::new();
    let (a, b) = (plant.session("same-user"), plant.session("same-user"));
    a.set("AKIA_A_FIRST", "us-east-1").await;
    b.set("AKIA_B_FIRST", "eu-west-1").await;
    a.set("AKIA_A_SECOND", "us-west-2").await;
    assert_eq!(b.holds(), pair("AKIA_B_FIRST", "eu-west-1"));
    b.set("AKIA_B_SECOND", "ap-south-1").await;
    assert_eq!(a.holds(), pair("AKIA_A_SECOND", "us-west-2"));
    assert_eq!(b.holds(), pair("AKIA_B_SECOND", "ap-south-1"));
}

#[tokio::test]
async fn cleared() {
    let plant = Plant::new();
    let (a, b) = (plant.session("user-a"), plant.session("user-b"));
    a.set("AKIA_A", "us-east-1").await;
    b.set("AKIA_B", "eu-west-1").await;
    a.clear().await;
    assert_eq!(a.holds(), None);
    assert_eq!(a.service().await, None);
    assert_eq!(b.holds(), pair("AKIA_B", "eu-west-1"));
    assert_eq!(b.service().await.unwrap(), "AKIA_B");
}

#[tokio::test]
async fn three_at_once() {
    let plant = Plant::new();
    let users = [("one", "us-east-1"), ("two", "eu-west-1"), ("three", "ap-south-1")];
    let work = users.map(|(name, region)| {
        let user = plant.session(name);
        tokio::spawn(async move {
            for round in 0..50 {
                let key = format!("AKIA_{name}_{round}");
                user.set(&key, region).await;
                tokio::task::yield_now().await;
                assert_eq!(user.holds(), pair(&key, region));
                assert_eq!(user.service().await.unwrap(), key);
            }
        })
    });
    for work in work {
        work.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundreds_of_sessions() {
    let plant = Plant::new();
    let regions = ["us-east-1", "us-west-2", "eu-west-1", "ap-south-1", "sa-east-1"];
    let mut work = tokio::task::JoinSet::new();
    for number in 0..400_usize {
        let user = plant.session(&format!("user-{}", number % 7));
        let region = regions[number % regions.len()];
        work.spawn(async move {
            let key = format!("AKIA_SESSION_{number:04}");
            user.set(&key, region).await;
            tokio::task::yield_now().await;
            if number % 5 == 0 {
                user.clear().await;
                assert_eq!(user.holds(), None);
                return;
            }
            // A subagent of the same invocation sees what was set.
            let subagent = user.clone();
            let seen = tokio::spawn(async move { (subagent.holds(), subagent.service().await) });
            assert_eq!(seen.await.unwrap(), (pair(&key, region), Some(key)));
        });
    }
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
}

/// Users of the emulator, for the process that [`leases_and_children_of_hundreds_of_sessions`]
/// starts.
const USERS: &str = "SUBROSA_TEST_USERS";

#[test]
fn leases_and_children_of_hundreds_of_sessions() {
    // The AWS SDK finds the emulator by the environment, so all sessions live in a process of
    // their own.
    let users: Vec<Value> = (0..10)
        .map(|number| {
            let keys = emulator::user(&format!("isolated-{number}"), &["sts:*", "ecs:*"]);
            json!({"access_key_id": keys.access_key_id, "secret_access_key": keys.secret_access_key})
        })
        .collect();
    let role = emulator::role("isolated-role", "isolated-0", "right", &["ecs:*"]);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["isolation::sessions_with_an_emulator", "--exact", "--ignored", "--nocapture"])
        .env("AWS_ENDPOINT_URL", emulator::endpoint())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("BASE_KEY", users[0]["access_key_id"].as_str().unwrap())
        .env("BASE_SECRET", users[0]["secret_access_key"].as_str().unwrap())
        .env("ROLE", role)
        .env(USERS, Value::from(users).to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "started by leases_and_children_of_hundreds_of_sessions"]
async fn sessions_with_an_emulator() {
    let users: Vec<Value> = serde_json::from_str(&std::env::var(USERS).unwrap()).unwrap();
    let role = std::env::var("ROLE").unwrap();
    let manifest = "[credentials]\nprovider = \"aws\"\ndelivery = \"environment\"\n";
    let odd = Arc::new(crate::children::odd_workspace(manifest, ""));
    // One role, behind two integrations that differ in their external id alone.
    let integration = |name: &str, id: &str| {
        format!(
            "[integrations.{name}]\nprovider = \"aws\"\nrole_arn = {role:?}\nexternal_id = {id:?}\n\
             base = {{ access_key_id = \"env:BASE_KEY\", secret_access_key = \"env:BASE_SECRET\" }}\n"
        )
    };
    let config = format!(
        "[session]\nenvironment_fallback = false\n[tools]\nenable = [\"odd\"]\ndir = \"servers\"\n\
         [audit]\nfile = \"audit.jsonl\"\n{}{}",
        integration("right", "right"),
        integration("wrong", "wrong")
    );
    let config = Config::parse(&config, &odd.path(""), None).unwrap();
    let plant =
        Plant { shared: Arc::new(Shared::new(config).unwrap()), _folder: TempDir::new().unwrap() };
    let regions = ["us-east-1", "us-west-2", "eu-west-1", "ap-south-1", "sa-east-1"];
    let mut work = tokio::task::JoinSet::new();
    for number in 0..200_usize {
        let user = plant.session(&format!("user-{number}"));
        let (keys, region) = (users[number % users.len()].clone(), regions[number % 5]);
        let odd = Arc::clone(&odd);
        work.spawn(async move {
            let given = match number % 10 {
                8 => json!({"integration": "right", "region": region}),
                9 => json!({"integration": "wrong", "region": region}),
                _ => {
                    let mut keys = keys;
                    keys["region"] = region.into();
                    keys
                }
            };
            let arguments = json!({"credentials_json": given.to_string()});
            let set = user.call("set_aws_credentials_context", arguments).await;
            assert_eq!(set["isError"], false, "{set}");
            let facts = user.call("get_aws_credentials_context", json!({})).await;
            let facts = &facts["structuredContent"];
            assert_eq!(facts["region"], region);
            if number % 10 == 9 {
                assert_eq!(facts["verified"], false, "{facts}");
                return;
            }
            // AWS itself says whose lease it is: the name holds principal and session.
            let id = user.enforcement.session().id().to_string();
            let own = format!("/agent-user-{number}-{}", &id["ses_".len()..][..8]);
            let arn = facts["arn"].as_str().unwrap();
            assert!(arn.ends_with(&own), "{arn} {own}");
            assert_eq!(arn.contains(":assumed-role/isolated-role/"), number % 10 == 8, "{arn}");
            // Two of each, side by side: children get their own session's lease and region.
            if number < 20 {
                let reply = user.call("odd__lease", json!({})).await;
                let seen: Value =
                    serde_json::from_str(reply["content"][0]["text"].as_str().unwrap()).unwrap();
                assert_eq!(seen["region"], region);
                let issued = lease_in_audit(&odd, &id);
                assert_eq!(seen["key_digest"], digest(&issued), "{issued}");
            }
            if number % 3 == 0 {
                user.clear().await;
                let gone = user.call("get_aws_credentials_context", json!({})).await;
                assert!(gone["structuredContent"]["error"].is_string(), "{gone}");
            }
        });
    }
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
}

/// The id of the key that was last issued to a session, by the audit log.
fn lease_in_audit(workspace: &Workspace, session: &str) -> String {
    let records = workspace.audit_records();
    let mut issued =
        records.iter().filter(|record| record["event"] == "issued" && record["session"] == session);
    issued.next_back().unwrap()["lease"]["access_key_id"].as_str().unwrap().to_owned()
}

fn digest(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_secret_of_one_session_means_nothing_to_another() {
    // What one session is given is blotted out there, and is ordinary text elsewhere: sessions do
    // not even share what must not be seen.
    let workspace = Workspace::new("[tools]\nenable = []");
    let (mut a, mut b) = (workspace.serve(), workspace.serve());
    let keys = json!({"access_key_id": "AKIA_A", "secret_access_key": "correct-horse-battery"});
    a.done("set_aws_credentials_context", json!({"credentials_json": keys.to_string()}));
    let info = json!({"service_info_json": r#"{"service_id":"correct-horse-battery"}"#});
    for (agent, shown) in [(&mut a, false), (&mut b, true)] {
        agent.call("set_service_context_info", info.clone());
        let kept = agent.done("get_service_context_info", json!({}));
        assert_eq!(kept.text().contains("correct-horse-battery"), shown, "{}", kept.text());
    }
}

#[test]
fn two_servers_side_by_side() {
    let workspace = Workspace::new("[tools]\nenable = []\n[session]\nenvironment_fallback = false")
        .with("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let mut servers: Vec<_> = (0..2).map(|_| workspace.serve()).collect();
    for (number, server) in servers.iter_mut().enumerate() {
        let keys = json!({"access_key_id": format!("AKIAIOSFODNN7EXAMPL{number}"),
            "secret_access_key": format!("secret-of-number-{number}"), "region": format!("us-east-{}", number + 1)});
        server.done("set_aws_credentials_context", json!({"credentials_json": keys.to_string()}));
    }
    for (number, server) in servers.iter_mut().enumerate() {
        let shown = server.done("get_aws_credentials_context", json!({}));
        assert_eq!(shown.data()["access_key_id"], format!("AKIA…MPL{number}"));
        assert_eq!(shown.data()["region"], format!("us-east-{}", number + 1));
    }
    drop(servers);
    // Both wrote one audit log.
    assert!(workspace.verified().records >= 10);
}
