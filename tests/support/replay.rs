//! AWS's answers, replayed over HTTP: for states that the emulator cannot produce. The SDK signs
//! and parses as ever.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
};

use serde_json::{Value, json};

/// A server that answers as AWS would for one case of `tests/cases/diagnosis`.
pub struct Replay {
    endpoint: String,
}

impl Replay {
    /// Starts it. It ends with the test process.
    pub fn start(case: Value) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let case = Arc::new(case);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let case = Arc::clone(&case);
                std::thread::spawn(move || while answer(&stream, &case).is_some() {});
            }
        });
        Self { endpoint }
    }

    /// What to set `AWS_ENDPOINT_URL` to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// Answers one request of a connection.
fn answer(stream: &TcpStream, case: &Value) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut target, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_lowercase().as_str() {
                "x-amz-target" => value.trim().clone_into(&mut target),
                "content-length" => length = value.trim().parse().ok()?,
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let operation = target.rsplit('.').next().unwrap_or_default();
    let (status, kind, body) = if target.is_empty() {
        (200, "text/xml", sts(&String::from_utf8_lossy(&body)))
    } else {
        let input: Value = serde_json::from_slice(&body).ok()?;
        let (status, body) = ecs_or_logs(operation, &input, case);
        (status, "application/x-amz-json-1.1", body.to_string())
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nx-amzn-requestid: r\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()
}

fn ecs_or_logs(operation: &str, input: &Value, case: &Value) -> (u16, Value) {
    let tasks = case["tasks"].as_array().unwrap();
    let stopped = |task: &&Value| task["lastStatus"] == "STOPPED";
    match operation {
        "DescribeServices" if input["services"][0] == case["service"]["serviceName"] => {
            (200, json!({"services": [case["service"]], "failures": []}))
        }
        "DescribeServices" => {
            (200, json!({"services": [], "failures": [{"arn": "x", "reason": "MISSING"}]}))
        }
        "ListServices" => (200, json!({"serviceArns": [case["service"]["serviceArn"]]})),
        "ListTasks" => {
            let wanted = input["desiredStatus"] == "STOPPED";
            let tasks = tasks.iter().filter(|task| stopped(task) == wanted);
            let arns: Vec<&Value> = tasks.map(|task| &task["taskArn"]).collect();
            (200, json!({"taskArns": arns}))
        }
        "DescribeTasks" => {
            let wanted = input["tasks"].as_array().unwrap();
            let tasks = tasks.iter().filter(|task| wanted.contains(&task["taskArn"]));
            (200, json!({"tasks": tasks.collect::<Vec<_>>(), "failures": []}))
        }
        "DescribeTaskDefinition" => {
            let name = input["taskDefinition"].as_str().unwrap();
            let several = case["task_definitions"].as_object();
            let named =
                several.and_then(|all| all.iter().find(|(known, _)| name.ends_with(*known)));
            let definition = named.map_or(&case["task_definition"], |(_, definition)| definition);
            (200, json!({"taskDefinition": definition}))
        }
        "GetLogEvents" => {
            match case["logs"].get(input["logStreamName"].as_str().unwrap()) {
                Some(lines) => {
                    let events = lines.as_array().unwrap().iter().zip(1_795_300_000_000_u64..);
                    let events: Vec<Value> = events
                    .map(|(line, at)| json!({"message": line, "timestamp": at, "ingestionTime": at}))
                    .collect();
                    (
                        200,
                        json!({"events": events, "nextForwardToken": "f/1", "nextBackwardToken": "b/1"}),
                    )
                }
                None => (
                    400,
                    json!({"__type": "ResourceNotFoundException",
                    "message": "The specified log stream does not exist."}),
                ),
            }
        }
        other => panic!("{other} is not replayed"),
    }
}

fn sts(body: &str) -> String {
    let credentials = "<Credentials><AccessKeyId>ASIAREPLAYREPLAYREPL</AccessKeyId>\
        <SecretAccessKey>replayed/secret/access/key/0123456789abc</SecretAccessKey>\
        <SessionToken>replayed-session-token-0123456789</SessionToken>\
        <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>";
    let (action, result) = if body.contains("Action=GetFederationToken") {
        ("GetFederationToken", credentials.to_owned())
    } else {
        let arn = "arn:aws:sts::123456789012:federated-user/replay";
        let identity = format!("<Arn>{arn}</Arn><UserId>u</UserId><Account>123456789012</Account>");
        ("GetCallerIdentity", identity)
    };
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         {result}</{action}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\
         </{action}Response>"
    )
}
