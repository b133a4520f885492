// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// Stores one number. Small on purpose: each function shows one thing a client must get right.
contract Counter {
    uint256 public value;

    event Changed(address indexed who, uint256 value);

    error TooLarge(uint256 got, uint256 most);

    constructor(uint256 first) {
        value = first;
    }

    function set(uint256 next) external {
        value = next;
        emit Changed(msg.sender, next);
    }

    function increment() external returns (uint256) {
        value += 1;
        emit Changed(msg.sender, value);
        return value;
    }

    /// Reverts with a reason string unless `next` is greater than the value.
    function raise(uint256 next) external {
        require(next > value, "not greater than the value");
        value = next;
        emit Changed(msg.sender, next);
    }

    /// Reverts with a custom error when `next` is above 1000.
    function setSmall(uint256 next) external {
        if (next > 1000) revert TooLarge(next, 1000);
        value = next;
        emit Changed(msg.sender, next);
    }
}
