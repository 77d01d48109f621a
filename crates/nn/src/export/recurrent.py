
class Recurrent(nn.Module):
    """Projection, recurrent layers, logits: what follows every picture of the sound."""

    def __init__(self, width):
        super().__init__()
        hidden, layers = OPTIONS["recurrent-hidden"], OPTIONS["recurrent-layers"]
        both = OPTIONS["bidirectional"]
        self.kind, cell = ("gru", nn.GRU) if OPTIONS["architecture"].endswith("gru") else ("lstm", nn.LSTM)
        self.projection = nn.Linear(width, OPTIONS["projection"])
        self.projection_norm = nn.LayerNorm(OPTIONS["projection"])
        self.dropout = nn.Dropout(OPTIONS["dropout"])
        width = OPTIONS["projection"]
        cells, self.recurrent_norm = [], nn.ModuleDict()
        for index in range(layers):
            if OPTIONS.get("recurrent-norm", False) and index > 0:
                self.recurrent_norm[str(index)] = nn.LayerNorm(width)
            cells.append(cell(width, hidden, bidirectional=both, batch_first=True))
            width = hidden * (2 if both else 1)
        setattr(self, self.kind, nn.ModuleList(cells))
        self.ahead = OPTIONS.get("lookahead", 0)
        if self.ahead > 0:
            # Each channel by itself, over a frame and those behind it.
            self.lookahead = nn.Conv2d(width, width, (self.ahead + 1, 1), groups=width)
        self.output = nn.Linear(width, OUTPUTS)

    def forward(self, x):  # [batch, frames, width]
        x = self.dropout(self.projection_norm(self.projection(x)))
        for index, cell in enumerate(getattr(self, self.kind)):
            y = self.recurrent_norm[str(index)](x) if str(index) in self.recurrent_norm else x
            y = self.dropout(cell(y)[0])
            x = x + y if OPTIONS.get("residual", False) and x.shape == y.shape else y
        if self.ahead > 0:
            x = nn.functional.pad(x.transpose(1, 2), (0, self.ahead)).unsqueeze(3)
            x = self.lookahead(x).squeeze(3).transpose(1, 2)
        return self.output(x)  # [batch, frames, labels]

