// The nouns of the HTTP API, one alias each, as generated from openapi.json (`make api`).
// This is the only file that knows where the types come from: pages import nouns from here.
import type { components, paths } from './schema.gen';

export type { paths } from './schema.gen';

type Schemas = components['schemas'];

/** A reply as the server writes it: every field is there, null where there is nothing to say. */
export type Full<T> = T extends (infer Item)[]
  ? Full<Item>[]
  : T extends object
    ? { [Key in keyof T]-?: Full<Exclude<T[Key], undefined>> }
    : T;

export type Severity = Full<Schemas['Severity']>;
export type PluginScan = Full<Schemas['PluginScan']>;
export type SeverityCounts = Full<Schemas['SeverityCounts']>;
export type RoleGrant = Full<Schemas['RoleGrant']>;
export type User = Full<Schemas['User']>;
export type Me = Full<Schemas['Me']>;
export type LoginReply = Full<Schemas['LoginReply']>;
export type Account = Full<Schemas['Account']>;
export type Assignment = Full<Schemas['Assignment']>;
export type ResetCode = Full<Schemas['ResetCode']>;
export type Erased = Full<Schemas['Erased']>;
export type Retention = Full<Schemas['Retention']>;
export type Only = NonNullable<NonNullable<paths['/api/users']['get']['parameters']['query']>['only']>;
export type Token = Full<Schemas['Token']>;
export type NewTokenRequest = Schemas['NewTokenRequest'];
export type ServiceAccount = Full<Schemas['ServiceAccount']>;
export type Organization = Full<Schemas['Organization']>;
export type Member = Full<Schemas['Member']>;
export type Quota = Full<Schemas['Quota']>;
export type ListedQuota = Full<Schemas['ListedQuota']>;
export type LicenceStatus = Full<Schemas['LicenceStatus']>;
export type Backup = Full<Schemas['Backup']>;
export type BackupState = Full<Schemas['BackupState']>;
export type BackupPruned = Full<Schemas['BackupPruned']>;
export type Mail = Full<Schemas['Mail']>;
export type MirrorRepository = Full<Schemas['MirrorRepository']>;
export type MirrorListed = Full<Schemas['MirrorListed']>;
export type MirrorImport = Full<Schemas['MirrorImport']>;
export type MarketListing = Full<Schemas['MarketPlugin']>;
export type MarketDetail = Full<Schemas['MarketPluginDetail']>;
export type MarketReview = Full<Schemas['MarketReview']>;
export type MarketStep = Full<Schemas['MarketStep']>;
export type MarketInstallation = Full<Schemas['MarketInstallation']>;
export type MarketAsked = Full<Schemas['MarketAsked']>;
export type MarketCollection = Full<Schemas['MarketCollection']>;
export type MarketSubmission = Full<Schemas['MarketSubmission']>;
export type MarketSubmissionDetail = Full<Schemas['MarketSubmissionDetail']>;
export type SubmissionStatus = Schemas['MarketSubmissionStatus'];
export type PluginUpdate = Full<Schemas['MarketUpdate']>;
export type PluginUpdateEntry = Full<Schemas['MarketUpdateEntry']>;
export type UpdatePolicy = Schemas['MarketUpdatePolicy'];
export type MarketSort = NonNullable<
  NonNullable<paths['/api/marketplace/plugins']['get']['parameters']['query']>['sort']
>;
export type TestedMail = Full<Schemas['TestedMail']>;
export type UsageReport = Full<Schemas['UsageReport']>;
export type UsageRow = Full<Schemas['UsageRow']>;
export type UsageGroup = Full<Schemas['GroupBy']>;
export type ProjectStatus = Full<Schemas['ProjectStatus']>;
export type Project = Full<Schemas['Project']>;
export type ProjectFile = Full<Schemas['ProjectFile']>;
export type FileContent = Full<Schemas['FileContent']>;
export type FileVersion = Full<Schemas['FileVersion']>;
export type Finding = Full<Schemas['Finding']>;
export type WorkflowView = Full<Schemas['WorkflowView']>;
/** A stage by its name; workflows of plugins have names of their own. */
export type Stage = string;
export type StageStatus = Full<Schemas['StageStatus']>;
export type StageView = Full<Schemas['StageView']>;
export type RunStatus = Full<Schemas['RunStatus']>;
export type Run = Full<Schemas['Run']>;
export type RunEvent = Full<Schemas['RunEvent']>;
export type Level = Full<Schemas['Level']>;
export type Model = Full<Schemas['Model']>;
export type Provider = Full<Schemas['Provider']>;
export type Quality = Full<Schemas['Quality']>;
export type Gate = Full<Schemas['Gate']>;
export type QualityGate = Full<Schemas['QualityGate']>;
export type Template = Full<Schemas['Template']>;
export type TemplateVariable = Full<Schemas['TemplateVariable']>;
export type PreviewFile = Full<Schemas['PreviewFile']>;
export type Plugin = Full<Schemas['Plugin']>;
export type OrgPlugin = Full<Schemas['OrgPlugin']>;
export type Capability = Full<Schemas['CapabilityView']>;
export type LogLine = Full<Schemas['LogLine']>;
export type AuditAction = Full<Schemas['AuditAction']>;
export type AuditEntry = Full<Schemas['AuditEntry']>;
export type Notice = Full<Schemas['Notice']>;
export type InventoryTable = Full<Schemas['InventoryTable']>;
export type SecondFactor = Full<Schemas['SecondFactor']>;
export type OwnPasskey = Full<Schemas['OwnPasskey']>;
export type OwnPasskeys = Full<Schemas['OwnPasskeys']>;
export type Enrolment = Full<Schemas['Enrolment']>;
export type Session = Full<Schemas['Session']>;
export type AuditList = Full<Schemas['AuditList']>;
export type Invitation = Full<Schemas['Invitation']>;
export type SentInvitation = Full<Schemas['SentInvitation']>;
export type PermissionInfo = Full<Schemas['PermissionInfo']>;
export type RoleInfo = Full<Schemas['RoleInfo']>;
export type Able = Full<Schemas['Able']>;
export type Explanation = Full<Schemas['Explanation']>;
export type Team = Full<Schemas['Team']>;
export type TeamMember = Full<Schemas['TeamMember']>;
export type TeamRole = Full<Schemas['TeamRole']>;
export type SystemInfo = Full<Schemas['SystemInfo']>;
/** The code of a role: a built-in one, or one that an organisation made. */
export type RoleName = string;
export type Membership = Full<Schemas['MyOrganization']>;
export type IdentityProvider = Full<Schemas['IdentityProvider']>;
export type IdentityProviderTest = Full<Schemas['IdentityProviderTest']>;
export type SignInOffer = Full<Schemas['SignInOffer']>;
export type OwnLink = Full<Schemas['OwnLink']>;
export type OwnLinks = Full<Schemas['OwnLinks']>;
export type FolderPlugin = Full<Schemas['FolderPlugin']>;
export type Hook = Full<Schemas['HookView']>;
export type CallFigures = Full<Schemas['CallFigures']>;
export type PluginFigures = Full<Schemas['PluginFigures']>;
export type AuditActor = Full<Schemas['Actor']>;

export type List<T> = { items: T[]; next_cursor?: string | null };
