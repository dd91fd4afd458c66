{ fpc -Fasync: a prompt without a line end is seen before its answer is read, as on a terminal. }
unit sync;

interface

implementation

begin
  TextRec(Output).FlushFunc := TextRec(Output).InOutFunc;
end.
