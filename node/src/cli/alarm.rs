//! `kvorum alarm list | disarm`.

use clap::{Args, Subcommand};
use kvorum_api::etcdserverpb::alarm_request::AlarmAction;
use kvorum_api::etcdserverpb::{AlarmRequest, AlarmResponse};
use kvorum_client::Repeat;

use super::output::{self, said};
use super::with::{Connector, Nothing, With};
use super::{Failure, view};

const LIST: &str = "\
Examples:
  kvorum alarm list                     prints nothing when all is well";
const DISARM: &str = "\
Examples:
  kvorum compact …; kvorum alarm disarm after space was made, writes are taken again";

/// Commands about alarms.
#[derive(Args, Clone, Debug)]
pub struct Alarm {
    #[command(subcommand)]
    command: AlarmCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum AlarmCommand {
    /// List the alarms that stand.
    #[command(after_long_help = LIST)]
    List(With<Nothing>),
    /// Take all alarms back.
    #[command(after_long_help = DISARM)]
    Disarm(With<Nothing>),
}

pub(super) async fn run(alarm: Alarm, connector: &Connector) -> Result<(), Failure> {
    let (action, with) = match alarm.command {
        AlarmCommand::List(with) => (AlarmAction::Get, with),
        AlarmCommand::Disarm(with) => (AlarmAction::Deactivate, with),
    };
    let connection = connector.open(with.global).await?;
    let request = AlarmRequest {
        action: action.into(),
        ..AlarmRequest::default()
    };
    let response: AlarmResponse = connection
        .client
        .call("/v3/maintenance/alarm", &request, Repeat::Freely)
        .await?;
    let lines: Vec<String> = response
        .alarms
        .iter()
        .map(|alarm| format!("memberID:{} alarm:{} ", alarm.member_id, alarm.alarm().as_str_name()))
        .collect();
    output::print(&said(connection.format, &view::plain(&response), &lines.join("\n"))?)
}
