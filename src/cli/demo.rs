//! `subrosa demo`: the main job, for real, on this machine.
//!
//! An agent diagnoses a failing ECS service through `subrosa serve`: with native tools, and with
//! the real `awslabs.ecs-mcp-server` as a child. AWS is an emulator that checks signatures, roles
//! and session policies. Secrets are planted wherever a tool could come across them, and looked
//! for in all that the model sees.

mod agent;
mod background;
pub mod emulator;
pub mod python;
mod verdict;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::{
    agent::{Agent, Exchange, Left},
    emulator::Emulator,
    python::Environment,
    verdict::{Evidence, Planted, Verdict},
};
use super::{Failure, Start, say};
use crate::{audit::verify, ids, shutdown};

/// What the demo and the tests run: the emulator and a tool server, pinned and hashed.
pub const REQUIREMENTS: &str = include_str!("demo/requirements.txt");
const SEED: &str = include_str!("demo/seed.py");

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Print the transcript and the verdict as JSON.
    #[arg(long)]
    json: bool,
}

/// What the seed script tells of its scenario.
#[derive(Deserialize)]
struct Scenario {
    access_key_id: String,
    secret_access_key: String,
    role_arn: String,
}

#[expect(clippy::print_stderr, reason = "progress is for people")]
fn tell(message: &str) {
    eprintln!("demo: {message}");
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        let began = Instant::now();
        tell("setting up (the first time takes a while) …");
        let python = Environment::ensure("demo", REQUIREMENTS, &tell).map_err(Failure::user)?;
        let verdict = Start::runtime()?.block_on(async {
            let stop = shutdown::on_signal().map_err(Failure::internal)?;
            // What was started ends with what is dropped here.
            let interrupted = || Failure::user("interrupted; all that was started has been ended");
            stop.run_until_cancelled(self.play(&python, began)).await.ok_or_else(interrupted)?
        })?;
        if self.json {
            say(&verdict.json().map_err(Failure::internal)?)?;
        } else {
            say(&verdict.to_string())?;
        }
        match verdict.problems().as_slice() {
            [] => Ok(()),
            problems => Err(Failure::Internal(format!("the demo failed: {}", problems.join("; ")))),
        }
    }

    async fn play(&self, python: &Environment, began: Instant) -> Result<Verdict, Failure> {
        let emulator = Emulator::start(python).await.map_err(Failure::internal)?;
        tell(&format!("the AWS emulator runs on {}", emulator.endpoint()));
        let mut planted = Planted::random();
        let external_id = ids::random("triage-");
        let scenario: Scenario = emulator
            .run_script(SEED, &planted.for_script(&external_id))
            .map_err(Failure::internal)?;
        planted.add_own_key(&scenario.secret_access_key);
        tell(&format!("seeded a failing ECS service and {} secrets", planted.count()));

        let folder = TempDir::with_prefix("subrosa-demo-").map_err(Failure::internal)?;
        let files = Files::write(folder.path(), python, &scenario).map_err(Failure::internal)?;
        let home = folder.path().to_string_lossy().into_owned();
        let environment = [
            ("HOME", &*home),
            ("USER", "demo"),
            ("AWS_ENDPOINT_URL", emulator.endpoint()),
            ("AWS_ACCESS_KEY_ID", &*scenario.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &*scenario.secret_access_key),
            ("TRIAGE_EXTERNAL_ID", &*external_id),
        ];
        let mut agent =
            Agent::start(&files.config, &environment).await.map_err(Failure::internal)?;
        tell("the agent is connected");
        agent.tools().await.map_err(Failure::internal)?;
        triage(&mut agent).await.map_err(Failure::internal)?;
        let Left { transcript, wire, log } = agent.leave().await.map_err(Failure::internal)?;

        let audit = fs::read_to_string(&files.audit).map_err(Failure::internal)?;
        let evidence = Evidence {
            chain: verify(audit.as_bytes()).map_err(|broken| broken.to_string()),
            child: fs::read_to_string(&files.tap).unwrap_or_default(),
            audit,
            log,
            wire,
        };
        Ok(Verdict::reach(transcript, &evidence, &planted, began.elapsed()))
    }
}

/// The conversation. Each step tells what an agent thinks before it makes the call.
async fn triage(agent: &mut Agent) -> std::io::Result<()> {
    let job = json!({
        "metadata": {"id": "stk-job-4711"},
        "spec": {
            "provider_credential_id": "awscred-prod",
            "target": {"spec": {"aws_account_region": "us-east-1"}},
        },
        "status": {"progress": {"status": "completed", "result": "succeeded"}},
    });
    agent
        .call(
            "The user gave me a stack job. It says whose credentials to use.",
            "extract_and_set_credentials_from_stack_job",
            json!({"stack_job_json": job.to_string()}),
        )
        .await?;
    agent.call("Which account is that?", "get_aws_credentials_context", json!({})).await?;
    let service = json!({"service_id": "svc-checkout", "cluster": "prod", "service": "checkout"});
    agent
        .call(
            "I keep the service for the agents after me.",
            "set_service_context_info",
            json!({"service_info_json": service.to_string()}),
        )
        .await?;
    let names = json!({"cluster": "prod", "service": "checkout"});
    agent.call("Why does it fail?", "ecs_diagnose_service", names).await?;
    let manage = |operation: &str, parameters: Value| json!({"api_operation": operation, "api_params": parameters});
    agent
        .call(
            "The same questions through the AWS Labs ECS MCP server: the service …",
            "ecs__ecs_resource_management",
            manage("DescribeServices", json!({"cluster": "prod", "services": ["checkout"]})),
        )
        .await?;
    agent
        .call(
            "… its task definition …",
            "ecs__ecs_resource_management",
            manage("DescribeTaskDefinition", json!({"taskDefinition": "checkout"})),
        )
        .await?;
    let troubleshoot =
        |action: &str| json!({"action": action, "parameters": {"ecs_cluster_name": "prod"}});
    agent
        .call(
            "… its failed tasks …",
            "ecs__ecs_troubleshooting_tool",
            troubleshoot("fetch_task_failures"),
        )
        .await?;
    agent
        .call(
            "… and its log lines.",
            "ecs__ecs_troubleshooting_tool",
            troubleshoot("fetch_task_logs"),
        )
        .await?;
    agent
        .call(
            "Perhaps it helps to scale the service down and up?",
            "ecs__ecs_resource_management",
            manage(
                "UpdateService",
                json!({"cluster": "prod", "service": "checkout", "desiredCount": 0}),
            ),
        )
        .await?;
    agent.call("I am done.", "clear_credential_context", json!({})).await?;
    agent.call("Is anything left?", "get_aws_credentials_context", json!({})).await?;
    Ok(())
}

/// What the server is started with, and what it leaves behind.
struct Files {
    config: PathBuf,
    audit: PathBuf,
    /// All that the child writes to its stdout.
    tap: PathBuf,
}

impl Files {
    fn write(folder: &Path, python: &Environment, scenario: &Scenario) -> std::io::Result<Self> {
        let files = Self {
            config: folder.join("subrosa.toml"),
            audit: folder.join("audit.jsonl"),
            tap: folder.join("child-stdout"),
        };
        let text = format!(
            r#"
[integrations.prod]
provider = "aws"
credential_ids = ["awscred-prod"]
role_arn = {role:?}
external_id = "env:TRIAGE_EXTERNAL_ID"
region = "us-east-1"
base = "environment"

[session]
environment_fallback = false

[tools]
enable = ["ecs"]

# The program that the first manifest line starts, with all that it says kept for the verdict.
[tools.override.ecs]
command = "sh"
args = ["-c", '"$0" | tee -a "$1"', {server:?}, {tap:?}]

[audit]
file = "audit.jsonl"
"#,
            role = scenario.role_arn,
            server = python.program("ecs-mcp-server").display().to_string(),
            tap = files.tap.display().to_string(),
        );
        fs::write(&files.config, text)?;
        Ok(files)
    }
}

/// Forms of a secret that a reader of a transcript could undo.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    for shift in 0..3 {
        let text = format!("{}{secret}", "x".repeat(shift));
        let encoded = general_purpose::STANDARD_NO_PAD.encode(text);
        // What does not change with what stands around it.
        forms.push(encoded.chars().skip(4).take(encoded.len() - 8).collect());
    }
    forms.push(ids::hex(secret.as_bytes()));
    forms
}

impl Exchange {
    /// All of the reply that the model could see, with JSON escapes and without.
    fn seen(&self) -> String {
        format!("{}\n{}", self.reply, self.text())
    }
}
