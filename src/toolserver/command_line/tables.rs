//! What is known of the AWS CLI: its global options, and the operations that are not what their
//! names say.

/// Global options that take a value (AWS CLI User Guide, "Command line options").
pub(super) const WITH_VALUE: [&str; 7] = [
    "--output",
    "--query",
    "--region",
    "--color",
    "--cli-read-timeout",
    "--cli-connect-timeout",
    "--cli-binary-format",
];

/// Global options that take none.
pub(super) const WITHOUT_VALUE: [&str; 3] =
    ["--no-paginate", "--no-cli-pager", "--no-cli-auto-prompt"];

/// Options that lead the command away from the lease: to other credentials, to another host with
/// the lease in hand, or to a log of every header. Any beginning of one means it too.
pub(super) const FORBIDDEN: [&str; 9] = [
    "--profile",
    "--endpoint-url",
    "--debug",
    "--no-sign-request",
    "--no-verify-ssl",
    "--ca-bundle",
    "--cli-auto-prompt",
    "--cli-input-json",
    "--cli-input-yaml",
];

/// First words of operations that look.
pub(super) const LOOKS: [&str; 9] =
    ["describe", "list", "get", "head", "search", "lookup", "filter", "ls", "wait"];

/// Words in the names of operations that print credentials.
pub(super) const CREDENTIAL_WORDS: [&str; 7] =
    ["token", "tokens", "credentials", "credential", "password", "presigned", "presign"];

/// Operations that print credentials, or URLs that are signed with one, and do not say so in their
/// name.
pub(super) const PRINTS_CREDENTIALS: [(&str, &str); 53] = [
    ("apigateway", "get-api-key"),
    ("apigateway", "get-api-keys"),
    ("apigateway", "get-usage-plan-key"),
    ("apigateway", "get-usage-plan-keys"),
    ("appsync", "list-api-keys"),
    ("athena", "get-session-endpoint"),
    ("bedrock-agentcore", "get-resource-api-key"),
    ("chime-sdk-meetings", "get-attendee"),
    ("chime-sdk-meetings", "list-attendees"),
    ("cloudfront-keyvaluestore", "get-key"),
    ("cloudwatchomni", "get-space-data-access"),
    ("codepipeline", "get-job-details"),
    ("codepipeline", "get-third-party-job-details"),
    ("directconnect", "describe-virtual-interfaces"),
    ("ec2", "describe-vpn-connections"),
    ("ec2", "get-vpn-connection-device-sample-configuration"),
    ("ecr", "get-download-url-for-layer"),
    ("ecr", "get-login"),
    ("emr", "get-session-endpoint"),
    ("emr-serverless", "get-dashboard-for-job-run"),
    ("emr-serverless", "get-session-endpoint"),
    ("gamelift", "get-compute-access"),
    ("gamelift", "get-game-session-log-url"),
    ("gamelift", "get-instance-access"),
    ("glue", "get-session-endpoint"),
    ("iot", "get-registration-code"),
    ("iotwireless", "get-wireless-device"),
    ("ivs", "batch-get-stream-key"),
    ("ivs", "get-channel"),
    ("ivs", "get-stream-key"),
    ("ivs-realtime", "get-ingest-configuration"),
    ("kinesis-video-signaling", "get-ice-server-config"),
    ("lambda", "get-function"),
    ("lambda", "get-layer-version"),
    ("lambda", "get-layer-version-by-arn"),
    ("lightsail", "get-bucket-access-keys"),
    ("lightsail", "get-instance-access-details"),
    ("location", "describe-key"),
    ("quicksight", "get-dashboard-embed-url"),
    ("quicksight", "get-session-embed-url"),
    ("s3control", "get-data-access"),
    ("secretsmanager", "batch-get-secret-value"),
    ("secretsmanager", "get-secret-value"),
    ("snowball", "get-job-manifest"),
    ("snowball", "get-job-unlock-code"),
    ("ssm", "get-parameter"),
    ("ssm", "get-parameter-history"),
    ("ssm", "get-parameters"),
    ("ssm", "get-parameters-by-path"),
    ("sso", "list-accounts"),
    ("wickr", "get-oidc-info"),
    ("wickr", "get-opentdf-config"),
    ("workspaces-thin-client", "list-environments"),
];

/// Operations that look by their name, and change something or take it away from others.
pub(super) const CHANGES: [(&str, &str); 3] = [
    ("cognito-identity", "get-id"),
    ("ssm", "get-deployable-patch-snapshot-for-instance"),
    ("stepfunctions", "get-activity-task"),
];

/// Operations whose names say "password" or "token" and that print none.
pub(super) const HARMLESS: [(&str, &str); 1] = [("iam", "get-account-password-policy")];

/// Operations that write what they get to a file of the machine (all that stream their output, in
/// the service models of botocore 1.44, and two of the AWS CLI's own).
pub(super) const WRITES_A_FILE: [(&str, &str); 46] = [
    ("apigateway", "get-export"),
    ("apigateway", "get-sdk"),
    ("appconfig", "get-configuration"),
    ("appconfig", "get-hosted-configuration-version"),
    ("appconfigdata", "get-latest-configuration"),
    ("appsync", "get-introspection-schema"),
    ("cloudfront", "get-connection-function"),
    ("cloudfront", "get-function"),
    ("codeartifact", "get-package-version-asset"),
    ("codeguruprofiler", "get-profile"),
    ("datazone", "get-lineage-event"),
    ("ebs", "get-snapshot-block"),
    ("geo-maps", "get-glyphs"),
    ("geo-maps", "get-sprites"),
    ("geo-maps", "get-static-map"),
    ("geo-maps", "get-style-descriptor"),
    ("geo-maps", "get-tile"),
    ("emr", "get"),
    ("gamelift", "get-game-session-log"),
    ("glacier", "get-job-output"),
    ("iot-data", "get-thing-shadow"),
    ("iotwireless", "get-position-estimate"),
    ("iotwireless", "get-resource-position"),
    ("kinesis-video-archived-media", "get-clip"),
    ("kinesis-video-archived-media", "get-media-for-fragment-list"),
    ("kinesis-video-media", "get-media"),
    ("lakeformation", "get-work-unit-results"),
    ("location", "get-map-glyphs"),
    ("location", "get-map-sprites"),
    ("location", "get-map-style-descriptor"),
    ("location", "get-map-tile"),
    ("medialive", "describe-input-device-thumbnail"),
    ("mediastore-data", "get-object"),
    ("medical-imaging", "get-image-frame"),
    ("medical-imaging", "get-image-set-metadata"),
    ("omics", "get-read-set"),
    ("omics", "get-reference"),
    ("s3api", "get-object"),
    ("s3api", "get-object-annotation"),
    ("s3api", "get-object-torrent"),
    ("s3", "get-object"),
    ("sagemaker-geospatial", "get-tile"),
    ("schemas", "get-code-binding-source"),
    ("workmailmessageflow", "get-raw-message-content"),
    ("bedrock-agent-runtime", "get-document-content"),
    ("rds", "download-db-log-file-portion"),
];

/// Operations that show values of which only their names tell whether they are secrets: variables,
/// arguments, parameters, options, scripts (from the service models of botocore 1.43).
#[rustfmt::skip]
pub(super) const SHOWS_VALUES: [(&str, &[&str]); 52] = [
    ("amplify", &["get-app", "get-branch", "list-apps", "list-branches"]),
    ("amplifybackend", &["get-backend-auth"]),
    ("apigateway", &["get-stage", "get-stages"]),
    ("apigatewayv2", &["get-stage", "get-stages"]),
    ("appmesh", &["describe-virtual-gateway", "describe-virtual-node"]),
    ("apprunner", &["describe-service"]),
    ("appstream", &["describe-directory-configs"]),
    ("appsync", &["get-graphql-api-environment-variables"]),
    ("autoscaling", &["describe-launch-configurations"]),
    ("batch", &["describe-job-definitions", "describe-jobs"]),
    ("bedrock-agent", &["get-flow", "get-flow-version", "get-prompt"]),
    ("bedrock-agentcore-control", &["get-agent-runtime"]),
    ("chime", &["list-bots"]),
    ("cloudformation", &["describe-change-set", "describe-stack-instance", "describe-stack-set", "describe-stacks", "get-generated-template", "get-template", "list-exports"]),
    ("cloudhsmv2", &["describe-clusters"]),
    ("codebuild", &["batch-get-build-batches", "batch-get-builds", "batch-get-projects", "batch-get-sandboxes"]),
    ("codepipeline", &["get-pipeline", "list-action-executions", "list-rule-executions"]),
    ("cognito-idp", &["describe-identity-provider", "describe-user-pool-client", "get-identity-provider-by-identifier", "list-user-pool-client-secrets"]),
    ("configservice", &["batch-get-aggregate-resource-config", "batch-get-resource-config", "get-aggregate-resource-config", "get-resource-config-history"]),
    ("datasync", &["describe-location-fsx-ontap", "describe-location-fsx-open-zfs"]),
    ("datazone", &["get-connection", "get-environment", "get-project", "get-project-profile", "list-connections", "list-environments"]),
    ("deadline", &["get-queue-environment"]),
    ("dms", &["describe-endpoints", "describe-metadata-model"]),
    ("docdb", &["describe-db-instances"]),
    ("ds", &["describe-directories"]),
    ("ec2", &["describe-instance-attribute", "describe-launch-template-versions", "describe-spot-fleet-requests", "describe-spot-instance-requests", "describe-verified-access-trust-providers", "get-launch-template-data"]),
    ("ecs", &["describe-daemon-task-definition", "describe-express-gateway-service", "describe-task-definition", "describe-tasks"]),
    ("eks", &["describe-eks-anywhere-subscription"]),
    ("elasticbeanstalk", &["describe-configuration-settings"]),
    ("elbv2", &["describe-listeners", "describe-rules"]),
    ("emr", &["describe-cluster", "describe-notebook-execution"]),
    ("events", &["describe-connection", "list-targets-by-rule"]),
    ("finspace", &["get-kx-cluster", "get-kx-connection-string"]),
    ("firehose", &["describe-delivery-stream"]),
    ("glue", &["batch-get-dev-endpoints", "batch-get-jobs", "batch-get-triggers", "batch-get-workflows", "describe-connection-type", "get-connection", "get-connections", "get-dev-endpoint", "get-dev-endpoints", "get-job", "get-job-run", "get-job-runs", "get-jobs", "get-session", "get-trigger", "get-triggers", "get-workflow", "get-workflow-run", "get-workflow-runs", "list-sessions"]),
    ("greengrass", &["get-function-definition-version"]),
    ("iot", &["describe-provisioning-template", "describe-provisioning-template-version"]),
    ("kafkaconnect", &["describe-connector", "describe-connector-operation"]),
    ("lambda", &["get-function-configuration", "list-functions", "list-versions-by-function"]),
    ("lambda-microvms", &["get-microvm-image-version", "list-microvm-image-versions"]),
    ("lex-models", &["get-bot-channel-association", "get-bot-channel-associations"]),
    ("lightsail", &["get-container-service-deployments", "get-container-services", "get-relational-database", "get-relational-databases"]),
    ("mediapackage", &["describe-channel", "list-channels"]),
    ("mwaa", &["get-environment"]),
    ("pipes", &["describe-pipe", "list-pipes"]),
    ("rds", &["describe-db-clusters", "describe-db-instances", "describe-option-groups", "describe-tenant-databases"]),
    ("redshift", &["describe-clusters"]),
    ("sagemaker", &["batch-describe-model-package", "describe-ai-recommendation-job", "describe-algorithm", "describe-app-image-config", "describe-auto-ml-job", "describe-auto-ml-job-v2", "describe-data-quality-job-definition", "describe-hyper-parameter-tuning-job", "describe-inference-component", "describe-inference-recommendations-job", "describe-model", "describe-model-bias-job-definition", "describe-model-explainability-job-definition", "describe-model-package", "describe-model-quality-job-definition", "describe-monitoring-schedule", "describe-optimization-job", "describe-partner-app", "describe-processing-job", "describe-training-job", "describe-transform-job", "list-app-image-configs", "list-candidates-for-auto-ml-job", "list-inference-recommendations-job-steps", "search"]),
    ("ssm", &["describe-association", "get-automation-execution", "get-command-invocation", "list-command-invocations", "list-commands"]),
    ("ssm-sap", &["get-database"]),
    ("stepfunctions", &["describe-execution", "describe-state-machine", "describe-state-machine-for-execution", "get-execution-history"]),
    ("wafv2", &["list-api-keys"]),
];
