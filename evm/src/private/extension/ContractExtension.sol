// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// One request to extend a private contract to one more party. It lives in the private states of the
/// parties concerned. Nodes act on its events; functions and events have the names that GoQuorum's
/// clients know.
contract ContractExtension {
    address public creator;
    address public recipient;
    address public contractToExtend;
    string public targetRecipientPTMKey;
    string public sharedDataHash;
    /// False once somebody has voted against.
    bool public voteOutcome = true;
    bool public isFinished;
    uint256 private accepted;
    mapping(address => bool) private hasVoted;
    mapping(address => bool) public votes;
    /// Payloads that voters made beside their votes: what shows a node that it has agreed itself.
    string[] private uuids;

    event NewContractExtensionContractCreated(address toExtend, string recipientPTMKey, address recipientAddress);
    event NewVote(bool vote, address voter);
    event AllNodesHaveAccepted(bool outcome);
    event CanPerformStateShare();
    event StateShared(address toExtend, string tesserahash, string uuid);
    event ExtensionFinished();

    constructor(address toExtend, address recipientAddress, string memory recipientPTMKey) {
        require(recipientAddress != msg.sender, "creator and recipient are the same account");
        creator = msg.sender;
        recipient = recipientAddress;
        contractToExtend = toExtend;
        targetRecipientPTMKey = recipientPTMKey;
        emit NewContractExtensionContractCreated(toExtend, recipientPTMKey, recipientAddress);
    }

    modifier notFinished() {
        require(!isFinished, "extension is finished");
        _;
    }

    modifier onlyCreator() {
        require(msg.sender == creator, "only the creator may do this");
        _;
    }

    function totalNumberOfVoters() external pure returns (uint256) {
        return 2;
    }

    function walletAddressesToVote(uint256 index) external view returns (address) {
        require(index < 2, "two accounts vote");
        return index == 0 ? creator : recipient;
    }

    function haveAllNodesVoted() external view returns (bool) {
        return hasVoted[creator] && hasVoted[recipient];
    }

    function checkIfVoted() external view returns (bool) {
        return hasVoted[msg.sender];
    }

    function checkIfExtensionFinished() external view returns (bool) {
        return isFinished;
    }

    /// One vote against ends the request.
    function doVote(bool vote, string calldata nextuuid) external notFinished {
        require(msg.sender == creator || msg.sender == recipient, "not allowed to vote");
        require(!hasVoted[msg.sender], "already voted");
        hasVoted[msg.sender] = true;
        votes[msg.sender] = vote;
        emit NewVote(vote, msg.sender);
        if (!vote) {
            voteOutcome = false;
            emit AllNodesHaveAccepted(false);
            end();
            return;
        }
        uuids.push(nextuuid);
        accepted += 1;
        if (accepted == 2) {
            emit AllNodesHaveAccepted(true);
            emit CanPerformStateShare();
        }
    }

    /// The state was given to the parties as a payload. Again, when the contract has changed before
    /// this took effect: the request ends only when the creator has seen that it has not.
    function setSharedStateHash(string calldata hash) external onlyCreator notFinished {
        require(bytes(hash).length != 0, "hash of the state is empty");
        sharedDataHash = hash;
        for (uint256 i = 0; i < uuids.length; i++) {
            emit StateShared(contractToExtend, hash, uuids[i]);
        }
    }

    /// Ends the request: it is done, or given up.
    function finish() external onlyCreator notFinished {
        end();
    }

    function end() private {
        isFinished = true;
        emit ExtensionFinished();
    }
}
