//! `kvorum move-leader`.

use clap::Args;
use kvorum_api::etcdserverpb::{MoveLeaderRequest, MoveLeaderResponse};
use kvorum_client::Repeat;

use super::connection::Connection;
use super::output::{self, said};
use super::{Failure, endpoint, member, view};

/// Examples.
pub(super) const EXAMPLES: &str = "\
Examples:
  kvorum move-leader 8e9e…              that member leads from now on; no write is refused meanwhile";

/// Arguments of `move-leader`.
#[derive(Args, Clone, Debug)]
pub struct MoveLeader {
    /// Id of the member that shall lead, in hexadecimal.
    #[arg(value_parser = member::id)]
    id: u64,
}

pub(super) async fn run(arguments: &MoveLeader, connection: &Connection) -> Result<(), Failure> {
    let target_id = arguments.id;
    // Only the leader takes the call, so it is looked for among all members.
    for client in endpoint::clients(true, connection).await? {
        let status = match client.status(&client.endpoints()[0]).await {
            Ok(status) => status,
            Err(error) if error.is_unavailable() => continue,
            Err(error) => return Err(error.into()),
        };
        let member_id = status.header.as_ref().map_or(0, |header| header.member_id);
        if status.leader == 0 || status.leader != member_id {
            continue;
        }
        let response: MoveLeaderResponse = client
            .call(
                "/v3/maintenance/transfer-leadership",
                &MoveLeaderRequest { target_id },
                Repeat::IfNotDone,
            )
            .await?;
        let text = format!("Leadership transferred from {member_id:016x} to {target_id:016x}");
        return output::print(&said(connection.format, &view::plain(&response), &text)?);
    }
    Err(Failure::Refused("no member says that it leads".to_owned()))
}
