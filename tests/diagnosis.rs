//! Why a service fails: each kind of failure is told apart. On recorded answers of AWS for states
//! that the emulator cannot produce, and on the emulator for those that it can.

use serde_json::{Value, json};

use crate::support::{agent::Agent, emulator, replay::Replay, workspace::Workspace};

const NO_SERVERS: &str = "[tools]\nenable = []";

fn replayed(case: &Value) -> (Workspace, Agent) {
    let replay = Replay::start(case.clone());
    let workspace = Workspace::new(NO_SERVERS)
        .with("AWS_ENDPOINT_URL", replay.endpoint())
        .with("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let agent = workspace.serve();
    (workspace, agent)
}

fn texts<'a>(values: &'a Value, pointer: &str) -> Vec<&'a str> {
    let values = values.as_array().unwrap().iter();
    values.filter_map(|value| value.pointer(pointer).and_then(Value::as_str)).collect()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn every_recorded_failure_is_told_apart() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/diagnosis");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 30);
    for path in names {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let case: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let expected = &case["expected"];
        let (_workspace, mut agent) = replayed(&case);
        let names = json!({"cluster": "prod", "service": "shop"});
        let reply = agent.done("ecs_diagnose_service", names);
        let diagnosis = reply.data();
        let context = format!("{name}: {diagnosis:#}");

        let kind = diagnosis.pointer("/root_cause/kind").unwrap_or(&Value::Null);
        assert_eq!(*kind, expected["root_cause"], "{context}");
        assert_eq!(diagnosis["healthy"], expected["healthy"] == true, "{context}");
        let title = diagnosis.pointer("/root_cause/title").and_then(Value::as_str);
        let wanted = expected["title"].as_str().unwrap_or_default();
        assert!(title.unwrap_or_default().contains(wanted), "{context}");
        let findings = diagnosis["findings"].as_array().unwrap();
        for also in strings(&expected["also"]) {
            assert!(findings.iter().any(|finding| finding["kind"] == also), "{also}: {context}");
        }
        let all_evidence: Vec<&str> =
            findings.iter().flat_map(|finding| texts(&finding["evidence"], "/text")).collect();
        for piece in strings(&expected["evidence"]) {
            assert!(all_evidence.iter().any(|text| text.contains(piece)), "{piece}: {context}");
        }
        let steps: Vec<&str> =
            findings.iter().flat_map(|finding| strings(&finding["next_steps"])).collect();
        let wanted = expected["next_step"].as_str().unwrap();
        assert!(steps.iter().any(|step| step.contains(wanted)), "{wanted}: {context}");
        if let Some(gap) = expected["gap"].as_str() {
            assert!(strings(&diagnosis["gaps"]).iter().any(|text| text.contains(gap)), "{context}");
        }
        for planted in strings(&expected["planted"]) {
            assert!(!agent.seen().contains(planted), "{planted}: {context}");
        }
        // One kind of failure is not taken for another.
        let critical: Vec<&Value> = findings
            .iter()
            .filter(|finding| finding["severity"] == "critical" && finding["kind"] != *kind)
            .map(|finding| &finding["kind"])
            .filter(|kind| !strings(&expected["also"]).contains(&kind.as_str().unwrap()))
            .collect();
        assert!(critical.is_empty(), "also found {critical:?}: {context}");
    }
}

#[test]
fn a_name_that_is_nearly_right_is_recognised() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/diagnosis/healthy.json");
    let case = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (_workspace, mut agent) = replayed(&case);
    let said = agent.refused("ecs_diagnose_service", json!({"cluster": "prod", "service": "shpo"}));
    assert!(said.contains("service `shpo` was not found"), "{said}");
    assert!(said.contains("there is one named `shop`"), "{said}");
}

#[test]
fn the_emulator_s_states_are_told_apart() {
    let keys = emulator::user("diagnosis", &["sts:*", "ecs:*", "logs:*"]);
    emulator::service("diagnosis", "steady", &json!({"LOG_LEVEL": "info"}));
    emulator::service("diagnosis", "unpulled", &json!({}));
    let _: Value = emulator::script(
        r#"
ecs = client("ecs")
for task in ecs.list_tasks(cluster="diagnosis", serviceName="unpulled")["taskArns"]:
    ecs.stop_task(cluster="diagnosis", task=task, reason="CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref docker.io/library/nginx:1: not found")
tell({})
"#,
        &json!({}),
    );
    let workspace = Workspace::emulated(NO_SERVERS_WITH_OVERRIDE, &keys);
    let mut agent = workspace.serve();
    let mut diagnose = |service: &str| {
        let names = json!({"cluster": "diagnosis", "service": service});
        agent.done("ecs_diagnose_service", names).data().clone()
    };
    let steady = diagnose("steady");
    assert_eq!(steady["healthy"], true, "{steady}");
    let unpulled = diagnose("unpulled");
    assert_eq!(unpulled["root_cause"]["kind"], "image_pull", "{unpulled}");
    assert_eq!(unpulled["tasks"]["running"], 0, "{unpulled}");
}

const NO_SERVERS_WITH_OVERRIDE: &str = "[tools]\nenable = [\"ecs\"]";

#[test]
fn the_other_tools_show_services_tasks_and_logs() {
    let keys = emulator::user("showing", &["sts:*", "ecs:*", "logs:*"]);
    emulator::service("showing", "web", &json!({"API_TOKEN": "hunter2-showing"}));
    let task: String = emulator::script(
        r#"
ecs, logs = client("ecs"), client("logs")
definition = ecs.describe_task_definition(taskDefinition="web")["taskDefinition"]
task = ecs.list_tasks(cluster="showing", serviceName="web")["taskArns"][0].rsplit("/", 1)[1]
tell(task)
"#,
        &json!({}),
    );
    let workspace = Workspace::emulated("", &keys);
    let mut agent = workspace.serve();
    let clusters = agent.done("ecs_list_clusters", json!({}));
    assert!(strings(&clusters.data()["clusters"]).contains(&"showing"), "{}", clusters.0);
    let services = agent.done("ecs_list_services", json!({"cluster": "showing"}));
    assert_eq!(services.data()["services"], json!(["web"]));
    let service = json!({"cluster": "showing", "service": "web"});
    let described = agent.done("ecs_describe_service", service);
    assert_eq!(described.data()["running"], 1, "{}", described.0);
    let tasks = agent.done("ecs_describe_tasks", json!({"cluster": "showing", "service": "web"}));
    assert_eq!(tasks.data()["tasks"][0]["task"], *task, "{}", tasks.0);
    assert_eq!(tasks.data()["tasks"][0]["containers"][0]["name"], "main");
    let wrong = json!({"cluster": tasks.data()["cluster"], "container": "mian",
        "task": tasks.data()["tasks"][0]["task"]});
    let said = agent.refused("ecs_task_logs", wrong);
    assert!(said.contains("no container `mian`; it has: main"), "{said}");
    let said = agent.refused("ecs_task_logs", json!({"cluster": "showing", "task": task}));
    assert!(said.contains("writes to CloudWatch Logs"), "{said}");
    let said = agent
        .refused("ecs_describe_tasks", json!({"cluster": "showing", "tasks": ["0".repeat(32)]}));
    assert!(said.contains("was not found in cluster `showing`"), "{said}");
    let said =
        agent.refused("ecs_describe_service", json!({"cluster": "nowhere", "service": "web"}));
    assert!(said.contains("cluster `nowhere` was not found in region us-east-1"), "{said}");
    assert!(!agent.seen().contains("hunter2-showing"));
}
