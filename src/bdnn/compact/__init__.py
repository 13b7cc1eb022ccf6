"""The most accurate network within a number of bytes: inputs, shapes, training, and the choice by held-out rows."""
