"""The table of what Slack sends: one row a kind, from which code and docs/slack-events.md are made.

The columns are: Slack's name | what happened | where the channel stands | where the user stands | where the
root of the thread stands, else the message it is about | its words | its summary, when it is not the usual
one of its family. A field is written as in `item.channel`; a number is a position in a list. Of several, the
first that holds something counts; an object stands for its `id`. In a summary, `{name}`, `{in}`, `{by}` and
`{words}` stand for the row's own facts, `{.field}` for any field, and `{:field}` for an emoji's name in one.
"""

EVENTS = """
app_mention | somebody mentions the app | channel | user bot_id | thread_ts ts | text
reaction_added | an emoji is put to a message | item.channel | user | item.ts | | {name}{in}{by}{:reaction}
reaction_removed | an emoji is taken from a message | item.channel | user | item.ts | | {name}{in}{by}{:reaction}
pin_added | something is pinned | channel_id item.channel | user | item.message.thread_ts item.message.ts | item.message.text
pin_removed | something is unpinned | channel_id item.channel | user | item.message.thread_ts item.message.ts | item.message.text
star_added | something is saved | item.channel | user | item.message.thread_ts item.message.ts | item.message.text
star_removed | something is no longer saved | item.channel | user | item.message.thread_ts item.message.ts | item.message.text
link_shared | a link to one of the app's domains is posted | channel | user | thread_ts message_ts | links.0.url
entity_details_requested | somebody opens the details of a link | channel | user | thread_ts message_ts | entity_url
message_metadata_posted | a message with metadata is posted | channel_id | user_id bot_id | message_ts | metadata.event_type
message_metadata_updated | the metadata of a message change | channel_id | user_id bot_id | message_ts | metadata.event_type
message_metadata_deleted | the metadata of a message are deleted | channel_id | user_id bot_id | message_ts | previous_metadata.event_type
channel_created | a channel is created | channel.id | channel.creator | | channel.name
channel_rename | a channel gets another name | channel.id | | | channel.name
channel_id_changed | a channel gets another id | new_channel_id old_channel_id
channel_archive | a channel is archived | channel | user
channel_unarchive | a channel is opened again | channel | user
channel_deleted | a channel is deleted | channel | actor_id
channel_joined | the app joins a channel | channel.id
channel_left | the app leaves a channel | channel | actor_id
channel_history_changed | many messages of a channel change | channel
channel_shared | a channel is shared with another workspace | channel
channel_unshared | a channel is no longer shared | channel
channel_marked | a channel is read up to a message | channel
group_archive | a private channel is archived | channel | user actor_id
group_unarchive | a private channel is opened again | channel | user actor_id
group_deleted | a private channel is deleted | channel | actor_id
group_rename | a private channel gets another name | channel.id | | | channel.name
group_joined | the app joins a private channel | channel.id
group_left | the app leaves a private channel | channel | actor_id
group_history_changed | many messages of a private channel change | channel
group_open | a private channel is opened | channel | user
group_close | a private channel is closed | channel | user
group_marked | a private channel is read up to a message | channel
im_created | a direct message is opened for the first time | channel.id | user
im_open | a direct message is opened | channel | user
im_close | a direct message is closed | channel | user
im_history_changed | many messages of a direct message change | channel
im_marked | a direct message is read up to a message | channel
mpim_open | a group message is opened | channel | user
mpim_close | a group message is closed | channel | user
member_joined_channel | somebody joins a channel | channel | user
member_left_channel | somebody leaves a channel | channel | user
user_typing | somebody types | channel | user
shared_channel_invite_received | an invitation to a shared channel comes | channel.id | invite.inviting_user.id
shared_channel_invite_accepted | an invitation to a shared channel is accepted | channel.id | accepting_user.id invite.inviting_user.id
shared_channel_invite_approved | an invitation to a shared channel is approved | channel.id | approving_user.id invite.inviting_user.id
shared_channel_invite_declined | an invitation to a shared channel is declined | channel.id | declining_user.id invite.inviting_user.id
shared_channel_invite_requested | somebody wants an invitation to a shared channel | channel_id channel.id | actor.id
call_rejected | a call is rejected | channel_id | user_id
app_home_opened | somebody opens the app's home | channel | user
app_context_changed | somebody looks at something else beside the app | channel | user
assistant_thread_started | somebody opens a thread with the assistant | assistant_thread.channel_id | assistant_thread.user_id | assistant_thread.thread_ts
assistant_thread_context_changed | somebody looks at another channel beside the assistant | assistant_thread.channel_id | assistant_thread.user_id | assistant_thread.thread_ts
function_executed | a workflow runs a step of the app | inputs.channel_id inputs.channel | inputs.user_id inputs.user inputs.user_context.id inputs.interactivity.interactor.id | | | {name} {.function.callback_id}{by}{in}
workflow_step_execute | a workflow runs a step of the app, the older way | | | | | {name} {.callback_id}
workflow_published | a workflow is published
workflow_unpublished | a workflow is taken back
workflow_deleted | a workflow is deleted
workflow_step_deleted | a step of a workflow is deleted
app_requested | somebody asks for an app | | app_request.user.id | | app_request.app.name
app_installed | an app is installed | | user_id | | app_name
app_deleted | an app is deleted | | user_id | | app_name
app_uninstalled | the app is removed from a workspace
app_uninstalled_team | an app is removed from a workspace of an organization | | user_id | | app_name
tokens_revoked | tokens of the app are revoked
scope_granted | the app gets scopes
scope_denied | the app does not get scopes
resources_added | the app gets resources
resources_removed | the app loses resources
user_resource_granted | somebody grants the app a resource | | user
user_resource_denied | somebody denies the app a resource | | user
user_resource_removed | somebody takes a resource from the app | | user
commands_changed | slash commands change
bot_added | a bot is added | | | | bot.name
bot_changed | a bot changes | | | | bot.name
team_join | somebody joins the workspace | | user.id
user_change | somebody's data change | | user.id
user_profile_changed | somebody's profile changes | | user.id
user_status_changed | somebody's status changes | | user.id | | user.profile.status_text
user_huddle_changed | somebody enters or leaves a huddle | | user.id
dnd_updated | somebody's do-not-disturb changes, with its times | | user
dnd_updated_user | somebody's do-not-disturb changes | | user
presence_change | somebody comes or goes | | user users.0 | | presence
manual_presence_change | the app's own presence changes | | | | presence
pref_change | a preference changes | | | | name
invite_requested | somebody asks for an invitation to the workspace | | invite_request.requester_ids.0
file_created | a file is created | | user_id | | | {name}{by} {.file_id file.id}
file_shared | a file is shared | channel_id | user_id | | | {name}{in}{by} {.file_id file.id}
file_unshared | a file is no longer shared | channel_id | user_id | | | {name}{in}{by} {.file_id file.id}
file_change | a file changes | | user_id | | | {name}{by} {.file_id file.id}
file_public | a file becomes public | | user_id | | | {name}{by} {.file_id file.id}
file_deleted | a file is deleted | | user_id | | | {name}{by} {.file_id file.id}
file_comment_added | a file gets a comment | | comment.user | | comment.comment | {name}{by} {.file_id file.id}{words}
file_comment_edited | a comment on a file changes | | comment.user | | comment.comment | {name}{by} {.file_id file.id}{words}
file_comment_deleted | a comment on a file is deleted | | | | | {name} {.file_id file.id}
subteam_created | a user group is created | | subteam.created_by | | subteam.handle
subteam_updated | a user group changes | | subteam.updated_by | | subteam.handle
subteam_members_changed | the members of a user group change | | | | | {name} {.subteam_id}
subteam_self_added | the app's user joins a user group | | | | | {name} {.subteam_id}
subteam_self_removed | the app's user leaves a user group | | | | | {name} {.subteam_id}
emoji_changed | an emoji is added, renamed or removed | | | | | {name} {.subtype}{:name}
team_rename | the workspace gets another name | | | | name
team_domain_change | the workspace gets another domain | | | | domain
team_access_granted | an organization gives the app workspaces
team_access_revoked | an organization takes workspaces from the app
team_plan_change | the plan of the workspace changes | | | | plan
team_pref_change | a preference of the workspace changes | | | | name
team_profile_change | fields of the profiles change
team_profile_delete | fields of the profiles are deleted
team_profile_reorder | fields of the profiles change their order
email_domain_changed | the workspace gets another e-mail domain | | | | email_domain
grid_migration_started | a workspace begins to move into an organization
grid_migration_finished | a workspace has moved into an organization
external_org_migration_started | a partner begins to move into an organization
external_org_migration_finished | a partner has moved into an organization
"""  # noqa: E501 - a row is a line
"""The types that come in an envelope (`event_callback`)."""

MESSAGES = """
message | somebody writes | channel | user bot_id | thread_ts ts | text | {name}{in}{by}{words}
message_changed | a message is edited, or Slack adds to it | channel | message.edited.user message.user previous_message.user message.bot_id | message.thread_ts message.ts previous_message.thread_ts previous_message.ts | message.text | edit{by}{in}{words}
message_deleted | a message is deleted | channel | previous_message.user previous_message.bot_id | previous_message.thread_ts deleted_ts previous_message.ts | previous_message.text | deletion{by}{in}{words}
message_replied | a thread gets a reply | channel | message.user message.bot_id | message.thread_ts message.ts | message.text
thread_broadcast | a reply is sent to the channel as well | channel | user bot_id | thread_ts root.ts | text
bot_message | an app or an incoming webhook writes | channel | user bot_id | thread_ts ts | text
me_message | somebody writes with /me | channel | user | thread_ts ts | text
file_share | somebody writes and shares files | channel | user bot_id | thread_ts ts | text | {name}{by}{in} {.files.0.name}{words}
channel_join | somebody joins a channel | channel | user | ts | text
channel_leave | somebody leaves a channel | channel | user | ts | text
channel_topic | the topic of a channel is set | channel | user | ts | text
channel_purpose | the purpose of a channel is set | channel | user | ts | text
channel_name | a channel gets another name | channel | user | ts | text
channel_archive | a channel is archived | channel | user | ts | text
channel_unarchive | a channel is opened again | channel | user | ts | text
channel_convert_to_private | a channel becomes private | channel | user | ts | text
channel_posting_permissions | who may write in a channel changes | channel | user | ts | text
group_join | somebody joins a private channel | channel | user | ts | text
group_leave | somebody leaves a private channel | channel | user | ts | text
group_topic | the topic of a private channel is set | channel | user | ts | text
group_purpose | the purpose of a private channel is set | channel | user | ts | text
group_name | a private channel gets another name | channel | user | ts | text
group_archive | a private channel is archived | channel | user | ts | text
group_unarchive | a private channel is opened again | channel | user | ts | text
file_comment | somebody comments on a file | channel | comment.user user | ts | comment.comment text
file_mention | somebody mentions a file | channel | user | ts | text
pinned_item | something is pinned | channel | user | ts | text
unpinned_item | something is unpinned | channel | user | ts | text
bot_add | a bot is added to a channel | channel | user | ts | text
bot_remove | a bot is removed from a channel | channel | user | ts | text
reminder_add | a reminder is set | channel | user | ts | text
huddle_thread | a huddle begins | channel | user | ts | text
assistant_app_thread | a thread with the assistant begins | channel | user | thread_ts ts | text
document_mention | somebody is mentioned in a canvas | channel | user | ts | text
ekm_access_denied | the organization's keys do not open the message | channel | user | ts | text
tombstone | the root of a thread is deleted, and its replies stay | channel | user | thread_ts ts | text
"""  # noqa: E501 - a row is a line
"""Messages, by their `subtype`; any other subtype is as `message`, with its name."""

INTERACTIVE = """
block_actions | somebody uses a button, a menu or an input | channel.id container.channel_id | user.id | container.thread_ts message.thread_ts container.message_ts message.ts | | {.actions.0.type} {.actions.0.action_id}{by}{in}
block_suggestion | a menu asks for its options | channel.id container.channel_id | user.id | container.thread_ts message.thread_ts container.message_ts message.ts | value | {name} {.action_id}{by}{in}{words}
view_submission | somebody submits a modal | | user.id | | | {name} {.view.callback_id}{by}
view_closed | somebody closes a modal | | user.id | | | {name} {.view.callback_id}{by}
shortcut | somebody uses a shortcut | | user.id
message_action | somebody uses a shortcut on a message | channel.id | user.id | message.thread_ts message.ts message_ts | message.text
interactive_message | somebody uses a button or a menu of an attachment | channel.id | user.id | original_message.thread_ts original_message.ts message_ts | | {.actions.0.type} {.callback_id} {.actions.0.name}{by}{in}
dialog_submission | somebody submits a dialog | channel.id | user.id
dialog_cancellation | somebody closes a dialog | channel.id | user.id
dialog_suggestion | a dialog asks for the options of a menu | channel.id | user.id | | value | {name} {.callback_id} {.name}{by}{in}{words}
workflow_step_edit | somebody sets up a step of the app, the older way | | user.id
"""  # noqa: E501 - a row is a line
"""The types that come as a form with the field `payload`."""

COMMANDS = """
slash_command | somebody uses a slash command | channel_id | user_id | | text | {.command} {.text}{by}{in}
outgoing_webhook | somebody writes a trigger word of an outgoing webhook | channel_id | user_id | thread_ts timestamp | text
"""  # noqa: E501 - a row is a line
"""The types that come as a form without a `type`."""

NOTICES = """
app_rate_limited | the app gets more events than Slack sends it in an hour
url_verification | Slack asks whether the address is the app's
"""
"""Slack's word to the app itself."""
