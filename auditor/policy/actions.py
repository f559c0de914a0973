"""Names of actions, as AWS's service authorization reference lists them: those that a wildcard is spelled out into.

A name that is missing here is still found: a wildcard that takes in a name nobody knows is told as what it is, `s3:*`.
"""

from __future__ import annotations

import re


def _named(service: str, names: str) -> tuple[str, ...]:
    return tuple(f"{service}:{name}" for name in names.split())


S3_OBJECT = _named(
    "s3",
    """
    AbortMultipartUpload BypassGovernanceRetention DeleteObject DeleteObjectTagging DeleteObjectVersion
    DeleteObjectVersionTagging GetObject GetObjectAcl GetObjectAttributes GetObjectLegalHold GetObjectRetention
    GetObjectTagging GetObjectTorrent GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes
    GetObjectVersionForReplication GetObjectVersionTagging GetObjectVersionTorrent InitiateReplication
    ListMultipartUploadParts ObjectOwnerOverrideToBucketOwner PutObject PutObjectAcl PutObjectLegalHold
    PutObjectRetention PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging ReplicateDelete
    ReplicateObject ReplicateTags RestoreObject UpdateObjectEncryption
    """,
)
"""Asked of an object."""
S3_BUCKET = _named(
    "s3",
    """
    CreateBucket CreateBucketMetadataTableConfiguration DeleteBucket DeleteBucketMetadataTableConfiguration
    DeleteBucketPolicy DeleteBucketWebsite GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAbac
    GetBucketAcl GetBucketCORS GetBucketLocation GetBucketLogging GetBucketMetadataTableConfiguration
    GetBucketNotification GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy
    GetBucketPolicyStatus GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging
    GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration GetIntelligentTieringConfiguration
    GetInventoryConfiguration GetLifecycleConfiguration GetMetricsConfiguration GetReplicationConfiguration
    ListBucket ListBucketMultipartUploads ListBucketVersions ListTagsForResource PauseReplication
    PutAccelerateConfiguration PutAnalyticsConfiguration PutBucketAbac PutBucketAcl PutBucketCORS
    PutBucketLogging PutBucketNotification PutBucketObjectLockConfiguration PutBucketOwnershipControls
    PutBucketPolicy PutBucketPublicAccessBlock PutBucketRequestPayment PutBucketTagging PutBucketVersioning
    PutBucketWebsite PutEncryptionConfiguration PutIntelligentTieringConfiguration PutInventoryConfiguration
    PutLifecycleConfiguration PutMetricsConfiguration PutReplicationConfiguration TagResource UntagResource
    UpdateBucketMetadataInventoryTableConfiguration UpdateBucketMetadataJournalTableConfiguration
    """,
)
"""Asked of a bucket."""
S3_OTHER = _named(
    "s3",
    """
    AssociateAccessGrantsIdentityCenter CreateAccessGrant CreateAccessGrantsInstance CreateAccessGrantsLocation
    CreateAccessPoint CreateAccessPointForObjectLambda CreateJob CreateMultiRegionAccessPoint
    CreateStorageLensGroup DeleteAccessGrant DeleteAccessGrantsInstance DeleteAccessGrantsInstanceResourcePolicy
    DeleteAccessGrantsLocation DeleteAccessPoint DeleteAccessPointForObjectLambda DeleteAccessPointPolicy
    DeleteAccessPointPolicyForObjectLambda DeleteJobTagging DeleteMultiRegionAccessPoint
    DeleteStorageLensConfiguration DeleteStorageLensConfigurationTagging DeleteStorageLensGroup DescribeJob
    DescribeMultiRegionAccessPointOperation DissociateAccessGrantsIdentityCenter GetAccessGrant
    GetAccessGrantsInstance GetAccessGrantsInstanceForPrefix GetAccessGrantsInstanceResourcePolicy
    GetAccessGrantsLocation GetAccessPoint GetAccessPointConfigurationForObjectLambda
    GetAccessPointForObjectLambda GetAccessPointPolicy GetAccessPointPolicyForObjectLambda
    GetAccessPointPolicyStatus GetAccessPointPolicyStatusForObjectLambda GetAccountPublicAccessBlock
    GetDataAccess GetJobTagging GetMultiRegionAccessPoint GetMultiRegionAccessPointPolicy
    GetMultiRegionAccessPointPolicyStatus GetMultiRegionAccessPointRoutes GetStorageLensConfiguration
    GetStorageLensConfigurationTagging GetStorageLensDashboard GetStorageLensGroup ListAccessGrants
    ListAccessGrantsInstances ListAccessGrantsLocations ListAccessPoints ListAccessPointsForObjectLambda
    ListAllMyBuckets ListCallerAccessGrants ListJobs ListMultiRegionAccessPoints ListStorageLensConfigurations
    ListStorageLensGroups PutAccessGrantsInstanceResourcePolicy PutAccessPointConfigurationForObjectLambda
    PutAccessPointPolicy PutAccessPointPolicyForObjectLambda PutAccessPointPublicAccessBlock
    PutAccountPublicAccessBlock PutJobTagging PutMultiRegionAccessPointPolicy PutStorageLensConfiguration
    PutStorageLensConfigurationTagging SubmitMultiRegionAccessPointRoutes UpdateAccessGrantsLocation
    UpdateJobPriority UpdateJobStatus UpdateStorageLensGroup
    """,
)
"""Asked of neither: of an account, an access point, a job."""
KMS = _named(
    "kms",
    """
    CancelKeyDeletion ConnectCustomKeyStore CreateAlias CreateCustomKeyStore CreateGrant CreateKey Decrypt
    DeleteAlias DeleteCustomKeyStore DeleteImportedKeyMaterial DeriveSharedSecret DescribeCustomKeyStores
    DescribeKey DisableKey DisableKeyRotation DisconnectCustomKeyStore EnableKey EnableKeyRotation Encrypt
    GenerateDataKey GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateDataKeyWithoutPlaintext
    GenerateMac GenerateRandom GetKeyPolicy GetKeyRotationStatus GetParametersForImport GetPublicKey
    ImportKeyMaterial ListAliases ListGrants ListKeyPolicies ListKeyRotations ListKeys ListResourceTags
    ListRetirableGrants PutKeyPolicy ReEncryptFrom ReEncryptTo ReplicateKey RetireGrant RevokeGrant
    RotateKeyOnDemand ScheduleKeyDeletion Sign SynchronizeMultiRegionKey TagResource UntagResource UpdateAlias
    UpdateCustomKeyStore UpdateKeyDescription UpdatePrimaryRegion Verify VerifyMac
    """,
)
"""Asked of a key."""
_IAM = _named(
    "iam",
    """
    AcceptDelegationRequest AddClientIDToOpenIDConnectProvider AddRoleToInstanceProfile AddUserToGroup
    AssociateDelegationRequest AttachGroupPolicy AttachRolePolicy AttachUserPolicy ChangePassword
    CreateAccessKey CreateAccountAlias CreateDelegationRequest CreateGroup CreateInstanceProfile
    CreateLoginProfile CreateOpenIDConnectProvider CreatePolicy CreatePolicyVersion CreateRole
    CreateSAMLProvider CreateServiceLinkedRole CreateServiceSpecificCredential CreateUser CreateVirtualMFADevice
    DeactivateMFADevice DeleteAccessKey DeleteAccountAlias DeleteAccountPasswordPolicy DeleteCloudFrontPublicKey
    DeleteGroup DeleteGroupPolicy DeleteInstanceProfile DeleteLoginProfile DeleteOpenIDConnectProvider
    DeletePolicy DeletePolicyVersion DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy
    DeleteSAMLProvider DeleteSSHPublicKey DeleteServerCertificate DeleteServiceLinkedRole
    DeleteServiceSpecificCredential DeleteSigningCertificate DeleteUser DeleteUserPermissionsBoundary
    DeleteUserPolicy DeleteVirtualMFADevice DetachGroupPolicy DetachRolePolicy DetachUserPolicy
    DisableOrganizationsRootCredentialsManagement DisableOrganizationsRootSessions
    DisableOutboundWebIdentityFederation EnableMFADevice EnableOrganizationsRootCredentialsManagement
    EnableOrganizationsRootSessions EnableOutboundWebIdentityFederation PassRole PutGroupPolicy
    PutRolePermissionsBoundary PutRolePolicy PutUserPermissionsBoundary PutUserPolicy RejectDelegationRequest
    RemoveClientIDFromOpenIDConnectProvider RemoveRoleFromInstanceProfile RemoveUserFromGroup
    ResetServiceSpecificCredential ResyncMFADevice SendDelegationToken SetDefaultPolicyVersion
    SetSTSRegionalEndpointStatus SetSecurityTokenServicePreferences TagInstanceProfile TagMFADevice
    TagOpenIDConnectProvider TagPolicy TagRole TagSAMLProvider TagServerCertificate TagUser UntagInstanceProfile
    UntagMFADevice UntagOpenIDConnectProvider UntagPolicy UntagRole UntagSAMLProvider UntagServerCertificate
    UntagUser UpdateAccessKey UpdateAccountEmailAddress UpdateAccountName UpdateAccountPasswordPolicy
    UpdateAssumeRolePolicy UpdateCloudFrontPublicKey UpdateGroup UpdateLoginProfile
    UpdateOpenIDConnectProviderThumbprint UpdateRole UpdateRoleDescription UpdateSAMLProvider UpdateSSHPublicKey
    UpdateServerCertificate UpdateServiceSpecificCredential UpdateSigningCertificate UpdateUser
    UploadCloudFrontPublicKey UploadSSHPublicKey UploadServerCertificate UploadSigningCertificate
    """,
)
"""Those that change something."""
_BACKUP = _named(
    "backup",
    """
    AssociateBackupVaultMpaApprovalTeam CancelLegalHold CopyFromBackupVault CopyIntoBackupVault
    CreateBackupAccessPoint CreateBackupPlan CreateBackupSelection CreateBackupVault CreateFramework
    CreateLegalHold CreateLogicallyAirGappedBackupVault CreateReportPlan CreateRestoreAccessBackupVault
    CreateRestoreTestingPlan CreateRestoreTestingSelection CreateTieringConfiguration DeleteBackupAccessPoint
    DeleteBackupPlan DeleteBackupSelection DeleteBackupVault DeleteBackupVaultAccessPolicy
    DeleteBackupVaultLockConfiguration DeleteBackupVaultNotifications DeleteBackupVaultSharingPolicy
    DeleteFramework DeleteRecoveryPoint DeleteReportPlan DeleteRestoreTestingPlan DeleteRestoreTestingSelection
    DeleteTieringConfiguration DisassociateBackupVaultMpaApprovalTeam DisassociateRecoveryPoint
    DisassociateRecoveryPointFromParent PutBackupVaultAccessPolicy PutBackupVaultLockConfiguration
    PutBackupVaultNotifications PutBackupVaultSharingPolicy PutRestoreValidationResult
    RevokeRestoreAccessBackupVault StartBackupJob StartCopyJob StartReportJob StartRestoreJob StartScanJob
    StopBackupJob TagResource UntagResource UpdateBackupPlan UpdateFramework UpdateGlobalSettings
    UpdateRecoveryPointIndexSettings UpdateRecoveryPointLifecycle UpdateRegionSettings UpdateReportPlan
    UpdateRestoreTestingPlan UpdateRestoreTestingSelection UpdateTieringConfiguration
    """,
)
"""Those that change something."""
_CLOUDTRAIL = _named(
    "cloudtrail",
    """
    AddTags CancelQuery CreateChannel CreateDashboard CreateEventDataStore CreateServiceLinkedChannel
    CreateTrail DeleteChannel DeleteDashboard DeleteEventDataStore DeleteResourcePolicy
    DeleteServiceLinkedChannel DeleteTrail DeregisterOrganizationDelegatedAdmin DisableFederation
    EnableFederation GenerateQuery PutEventConfiguration PutEventSelectors PutInsightSelectors PutResourcePolicy
    RegisterOrganizationDelegatedAdmin RemoveTags RestoreEventDataStore StartDashboardRefresh
    StartEventDataStoreIngestion StartImport StartLogging StartQuery StopEventDataStoreIngestion StopImport
    StopLogging UpdateChannel UpdateDashboard UpdateEventDataStore UpdateServiceLinkedChannel UpdateTrail
    """,
)
"""Those that change something."""

_READS = (
    "BatchGet", "Describe", "Filter", "Get", "Head", "List", "Lookup", "Query", "Scan", "Search", "Select", "Simulate",
    "View",
)  # fmt: skip
_READ = re.compile(rf"[^:]*:(?:{'|'.join(_READS)})", re.IGNORECASE)
_HARMLESS = frozenset(
    {"iam:generatecredentialreport", "iam:generateservicelastaccesseddetails", "logs:startquery", "logs:stopquery",
     "logs:testmetricfilter", "sts:decodeauthorizationmessage",
     "kms:decrypt", "kms:derivesharedsecret", "kms:encrypt", "kms:generatedatakey", "kms:generatedatakeypair",
     "kms:generatedatakeypairwithoutplaintext", "kms:generatedatakeywithoutplaintext", "kms:generatemac", "kms:generaterandom",
     "kms:reencryptfrom", "kms:reencryptto", "kms:sign", "kms:verify", "kms:verifymac"}
)  # fmt: skip
"""Those that change nothing, whatever they are called."""


def reads(action: str) -> bool:
    """Say whether an action, or every action that a pattern stands for, reads and changes nothing, by its name.

    The verb must be whole before the first wildcard: `s3:Get*` reads, `s3:G*` may do anything.
    """
    return action.lower() in _HARMLESS or _READ.match(action) is not None


WRITES = tuple(
    each
    for each in (*S3_OBJECT, *S3_BUCKET, *S3_OTHER, *KMS, *_IAM, *_BACKUP, *_CLOUDTRAIL)
    if not reads(each)
)
"""Actions that change something in what is audited."""

OBJECT_WRITES = (
    "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectAcl", "s3:PutObjectTagging", "s3:ReplicateObject",
    "s3:ReplicateDelete", "s3:RestoreObject",
)  # fmt: skip
"""Actions by which objects come, go or change hands."""

ESCALATIONS = {
    "role": (
        "iam:PassRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:UpdateAssumeRolePolicy",
        "iam:DeleteRolePermissionsBoundary", "iam:PutRolePermissionsBoundary", "sts:AssumeRole",
    ),
    "user": (
        "iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:UpdateLoginProfile", "iam:PutUserPolicy", "iam:AttachUserPolicy",
        "iam:DeleteUserPermissionsBoundary",
    ),
    "group": ("iam:AddUserToGroup", "iam:PutGroupPolicy", "iam:AttachGroupPolicy"),
    "policy": ("iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion"),
}  # fmt: skip
"""Actions by which whoever may take them on anything gets whatever else there is, by what they are asked of."""
OWN = (
    "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:DeleteRolePermissionsBoundary",
    "iam:PutRolePermissionsBoundary",
)  # fmt: skip
"""Those of them that are enough on the role itself."""

EXPORTING = frozenset(
    {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListBucket",
     "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts", "s3:GetBucketLocation", "kms:GenerateDataKey",
     "kms:Decrypt"}
)  # fmt: skip
"""What an export takes: told last of what an export role may do."""
