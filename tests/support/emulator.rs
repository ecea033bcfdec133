//! One emulator for all tests. Tests keep out of each other's way by name.

use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subrosa::cli::demo::emulator::Emulator;

use super::python;

/// Keys of an emulated user.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Keys {
    pub access_key_id: String,
    pub secret_access_key: String,
    #[serde(default)]
    pub session_token: Option<String>,
}

fn running() -> &'static Emulator {
    static CELL: OnceLock<Emulator> = OnceLock::new();
    CELL.get_or_init(|| {
        let emulator = start();
        // Statics are not dropped: the process group is ended when the test process is gone.
        end_with_us(emulator.process_group());
        emulator
    })
}

/// An emulator of the test's own, for what others would disturb.
pub fn start() -> Emulator {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Emulator::start(python::demo())).unwrap()
}

/// Ends a process group when this process has ended, however it ends.
fn end_with_us(group: u32) {
    use std::os::unix::process::CommandExt as _;
    let script = "read _; kill -s TERM -- \"-$0\"";
    let child = std::process::Command::new("sh")
        // Not in our group, which an interrupt ends.
        .process_group(0)
        .args(["-c", script, &group.to_string()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Its stdin closes with this process.
    std::mem::forget(child);
}

/// What to set `AWS_ENDPOINT_URL` to.
pub fn endpoint() -> &'static str {
    running().endpoint()
}

/// What every script may use.
const PRELUDE: &str = r#"
import json, sys, time
import boto3
given = json.load(sys.stdin)
def client(service, keys=None):
    keys = keys or {"access_key_id": "test", "secret_access_key": "test"}
    return boto3.client(service, endpoint_url=sys.argv[1], region_name="us-east-1",
        aws_access_key_id=keys["access_key_id"], aws_secret_access_key=keys["secret_access_key"],
        aws_session_token=keys.get("session_token"))
def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
def allow(*actions):
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
def tell(value):
    json.dump(value, sys.stdout)
"#;

/// Runs a Python script with boto3 against the emulator: `client`, `policy`, `allow`, `given` are
/// there, `tell` gives the result.
pub fn script<T: DeserializeOwned>(text: &str, given: &Value) -> T {
    script_on(running(), text, given)
}

/// The same on an emulator of the test's own.
pub fn script_on<T: DeserializeOwned>(emulator: &Emulator, text: &str, given: &Value) -> T {
    emulator.run_script(&format!("{PRELUDE}\n{text}"), given).unwrap()
}

/// A user who may do what the actions say, and its long-lived keys.
pub fn user(name: &str, actions: &[&str]) -> Keys {
    script(
        r#"
iam = client("iam")
iam.create_user(UserName=given["name"])
iam.put_user_policy(UserName=given["name"], PolicyName="p", PolicyDocument=policy(allow(*given["actions"])))
key = iam.create_access_key(UserName=given["name"])["AccessKey"]
tell({"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]})
"#,
        &json!({"name": name, "actions": actions}),
    )
}

/// A role that the user may assume with an external id, and its ARN. The role may do all that the
/// actions say.
pub fn role(name: &str, user: &str, external_id: &str, actions: &[&str]) -> String {
    script(
        r#"
iam = client("iam")
account = client("sts").get_caller_identity()["Account"]
trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:user/{given['user']}"},
    "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": given["external_id"]}}}
arn = iam.create_role(RoleName=given["name"], AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
iam.put_role_policy(RoleName=given["name"], PolicyName="p", PolicyDocument=policy(allow(*given["actions"])))
tell(arn)
"#,
        &json!({"name": name, "user": user, "external_id": external_id, "actions": actions}),
    )
}

/// A cluster with a service of one running task, whose task definition holds the secrets given.
pub fn service(cluster: &str, service: &str, environment: &Value) {
    let _: Value = script(
        r#"
ecs, ec2 = client("ecs"), client("ec2")
ecs.create_cluster(clusterName=given["cluster"])
definition = ecs.register_task_definition(family=given["service"], networkMode="awsvpc",
    requiresCompatibilities=["FARGATE"], cpu="256", memory="512", containerDefinitions=[{
        "name": "main", "image": "nginx:1", "essential": True, "cpu": 256, "memory": 512,
        "environment": [{"name": n, "value": v} for n, v in given["environment"].items()]}])
network = {"awsvpcConfiguration": {
    "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
    "securityGroups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]]}}
ecs.create_service(cluster=given["cluster"], serviceName=given["service"], desiredCount=1,
    taskDefinition=given["service"], launchType="FARGATE", networkConfiguration=network)
tell({})
"#,
        &json!({"cluster": cluster, "service": service, "environment": environment}),
    );
}
